// The connection to the server: it comes back by itself, and what was not confirmed is sent again.
//
// A message has a number of our own making, its nonce. It stays in the outbox until it comes back to us among the
// messages of the room, or the server says that it is stored and we have left the room; the server stores each nonce
// once. So a message typed while the connection breaks is neither lost nor shown twice.

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;
const SILENCE = 40_000; // the server says something every 15 seconds

const token = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Link extends EventTarget {
  #client = token(); // this window, whatever connection it has
  #socket = null;
  #failures = 0;
  #timer = 0;
  #watchdog = 0;
  #wish = null;
  #entered = false;
  #away = ""; // why we do not come back by ourselves
  outbox = [];

  // Whether the server has let us into the room that we want to be in.
  get entered() {
    return this.#entered;
  }

  // Enter a room, and again after each interruption. `since` says what is known of it by then.
  enter(name, room, since) {
    this.#wish = { name, room, since };
    this.#entered = false;
    this.#keep((message) => !message.stored);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#join();
    else this.connect();
  }

  connect() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#away = "";
    this.#tell("state", { state: this.#failures ? "again" : "connecting" });
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/talk`);
    socket.onopen = () => this.#join();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#lost();
    this.#socket = socket;
    this.#watch();
  }

  // Leave without a wish to come back, until `connect`.
  leave() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#entered = false;
  }

  say(body) {
    const message = { room: this.#wish.room, body, nonce: token(), stored: false };
    this.outbox.push(message);
    this.#tell("outbox");
    if (this.#entered) this.#say(message);
    else this.comeBack();
  }

  older(before) {
    this.#send({ type: "older", before });
  }

  comeBack() {
    if (this.#away) this.connect();
  }

  #join() {
    const { name, room, since } = this.#wish;
    this.#send({ type: "join", client: this.#client, name, room, since: since() });
  }

  #say({ body, nonce }) {
    this.#send({ type: "say", body, nonce });
  }

  #send(request) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }

  #receive(data) {
    this.#watch();
    const items = JSON.parse(data);
    for (const item of items) {
      if (item.kind === "welcome") this.#letIn(item);
      else if (item.kind === "idle") this.#away = item.body;
      else if (item.kind === "receipt") this.#stored(item);
      else if (item.nonce) this.#keep((message) => message.nonce !== item.nonce); // it is shown, or refused
    }
    this.#tell("items", items);
  }

  #letIn(welcome) {
    if (welcome.room !== this.#wish.room) return; // of a room that was left again at once
    this.#failures = 0;
    this.#entered = true;
    this.#wish.name = welcome.you;
    this.#tell("state", { state: "live", worker: welcome.worker });
    this.#keep((message) => !message.stored);
    for (const message of this.outbox) if (message.room === welcome.room) this.#say(message);
  }

  // A new one stays in sight until it is shown among the others, but need not be sent again.
  #stored({ nonce, is_new: isNew }) {
    for (const message of this.outbox) if (message.nonce === nonce) message.stored = true;
    this.#keep((message) => message.nonce !== nonce || (isNew && message.room === this.#wish.room));
  }

  #keep(wanted) {
    this.outbox = this.outbox.filter(wanted);
    this.#tell("outbox");
  }

  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost(), SILENCE);
  }

  #lost() {
    this.#drop();
    this.#entered = false;
    if (this.#away) {
      this.#tell("state", { state: "away", why: this.#away });
      return;
    }
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    this.#tell("state", { state: "lost", until: Date.now() + pause });
    this.#timer = setTimeout(() => this.connect(), pause);
  }

  #drop() {
    clearTimeout(this.#watchdog);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
