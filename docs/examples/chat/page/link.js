// The connection to the server: it comes back by itself, and what was not confirmed is sent again.
//
// A message has a number of our own making, its nonce. It stays in the outbox until it comes back to us among the
// messages of the room; the server stores each nonce once. So a message typed while the connection breaks is neither
// lost nor shown twice.

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
  #welcome = false;
  #away = false;
  outbox = [];

  // Enter a room, and again after each interruption. `since` says what is known of it by then.
  enter(name, room, since) {
    this.#wish = { name, room, since };
    this.#welcome = false;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#join();
    else this.connect();
  }

  connect() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#away = false;
    this.#tell("state", { state: this.#failures ? "again" : "connecting" });
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/talk`);
    socket.onopen = () => this.#join();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#lost();
    this.#socket = socket;
    this.#watch();
  }

  say(body) {
    this.outbox.push({ room: this.#wish.room, body, nonce: token() });
    this.#tell("outbox");
    if (this.#welcome) this.#send({ type: "say", ...this.outbox.at(-1) });
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

  #send(request) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }

  #receive(data) {
    this.#watch();
    const items = JSON.parse(data);
    for (const item of items) {
      if (item.kind === "welcome") this.#entered(item);
      if (item.kind === "idle") this.#away = true;
      if (item.nonce) this.#confirmed(item.nonce);
    }
    this.#tell("items", items);
  }

  #entered(welcome) {
    if (welcome.room !== this.#wish.room) return; // of a room that was left again at once
    this.#failures = 0;
    this.#welcome = true;
    this.#wish.name = welcome.you;
    this.#tell("state", { state: "live", worker: welcome.worker });
    for (const message of this.outbox) if (message.room === welcome.room) this.#send({ type: "say", ...message });
  }

  #confirmed(nonce) {
    const kept = this.outbox.filter((message) => message.nonce !== nonce);
    if (kept.length === this.outbox.length) return;
    this.outbox = kept;
    this.#tell("outbox");
  }

  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost(), SILENCE);
  }

  #lost() {
    this.#drop();
    this.#welcome = false;
    if (this.#away) {
      this.#tell("state", { state: "away" });
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
