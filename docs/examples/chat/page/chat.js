// The page: wires the connection, the log and the keyboard together.

import { Link } from "./link.js";
import { Log, element } from "./log.js";

const $ = (id) => document.getElementById(id);
const link = new Link();
const log = new Log($("log"), $("newer"), (before) => link.older(before));
const visited = new Set(["lobby"]);
const people = new Map();
let room = "";
let me = localStorage.getItem("name") ?? "";
let motd = "";
let worker = 0;
let unread = 0;
let longest = 2000;

// Where we are

const roomFromAddress = () => decodeURIComponent(location.hash.slice(1)).toLowerCase() || "lobby";

function enter(wanted) {
  if (wanted === room) return;
  room = wanted;
  visited.add(room);
  log.begin(me, true);
  $("room").textContent = `#${room}`;
  link.enter(me, room, () => log.last);
  showPeople();
}

function go(wanted) {
  if (roomFromAddress() !== wanted) location.hash = encodeURIComponent(wanted);
  $("side").classList.remove("shown");
  $("menu").setAttribute("aria-expanded", "false");
  $("say").focus();
}

addEventListener("hashchange", () => me && enter(roomFromAddress()));

// What the server says

const heard = {
  welcome(item) {
    if (item.room !== room) return;
    ({ you: me, worker, longest } = item);
    log.begin(me, item.fresh);
    if (item.fresh) log.more = item.more;
    if (item.motd && (item.fresh || item.motd !== motd)) tell(item.motd);
    motd = item.motd;
    people.clear();
    for (const person of item.people) people.set(person.name, person);
  },
  text(item) {
    if (item.room !== room || item.id <= (log.last ?? 0)) return;
    if (document.hidden) unread++;
    fresh.push(item);
  },
  older(item) {
    if (item.room === room) log.prepend(item.messages, item.more);
  },
  join: (item) => people.set(item.name, item),
  leave: (item) => people.delete(item.name),
  time: (item) => tell(item.body),
  motd(item) {
    motd = item.body;
    tell(item.body);
  },
  notice: (item) => tell(item.body),
};
let fresh = [];

function tell(body) {
  fresh.push({ kind: "told", body });
}

link.addEventListener("items", ({ detail }) => {
  for (const item of detail) {
    heard[item.kind]?.(item);
    if (item.kind !== "text") flush();
  }
  flush();
  if (detail.some((item) => item.kind !== "text")) showPeople();
  showTitle();
});

function flush() {
  if (fresh.length) log.append(fresh);
  fresh = [];
}

function showTitle() {
  document.title = `${unread ? `(${unread}) ` : ""}#${room} · trisig chat`;
}

addEventListener("visibilitychange", () => {
  unread = 0;
  showTitle();
});

// Rooms and people

function showPeople() {
  const here = [...people.values()].filter((person) => person.room === room);
  here.sort((one, other) => one.name.localeCompare(other.name));
  $("count").textContent = here.length;
  $("people").replaceChildren(...here.map(showPerson));
  $("rooms").replaceChildren(...rooms().map(showRoom));
}

const rooms = () => [...new Set([...visited, ...[...people.values()].map((person) => person.room)])].sort();

function showPerson(person) {
  const item = element("li");
  item.append(element("bdi", "", person.name + (person.name === me ? " (you)" : "")), element("span", "", `worker ${person.worker}`));
  return item;
}

function showRoom(name) {
  const item = element("li");
  const button = element("button");
  button.type = "button";
  button.append(element("span", "", `#${name}`), element("span", "", countIn(name)));
  button.addEventListener("click", () => go(name));
  if (name === room) button.setAttribute("aria-current", "page");
  item.append(button);
  return item;
}

const countIn = (name) => [...people.values()].filter((person) => person.room === name).length || "";

$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = $("open-room").value.trim().replace(/^#/, "").replace(/\s+/g, "-").toLowerCase();
  $("open-room").value = "";
  if (wanted) go(wanted);
});

$("menu").addEventListener("click", () => {
  $("menu").setAttribute("aria-expanded", String($("side").classList.toggle("shown")));
});

// The connection, and what is not sent yet

let countdown = 0;

link.addEventListener("state", ({ detail }) => {
  clearInterval(countdown);
  const { state, until } = detail;
  $("status").classList.toggle("live", state === "live");
  $("status").textContent = { live: `worker ${detail.worker}`, away: "away", connecting: "connecting" }[state] ?? "reconnecting";
  $("trouble").hidden = state === "live" || state === "connecting";
  $("retry").textContent = state === "away" ? "Come back" : "Try now";
  if (state === "away") $("trouble-text").textContent = "You were silent for a long time, and your place was cleared.";
  if (state === "again") $("trouble-text").textContent = "Connection lost. Trying again…";
  if (state === "lost") {
    showCountdown(until);
    countdown = setInterval(() => showCountdown(until), 500);
  }
});

function showCountdown(until) {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  $("trouble-text").textContent = seconds > 0 ? `Connection lost. Next try in ${seconds} s.` : "Connection lost. Trying again…";
}

link.addEventListener("outbox", () => {
  $("unsent").replaceChildren(
    ...link.outbox.map((message) => {
      const item = element("li");
      item.append(element("span", "body", message.body));
      return item;
    }),
  );
});

$("retry").addEventListener("click", () => link.connect());
addEventListener("online", () => $("trouble").hidden || link.connect());
addEventListener("focus", () => link.comeBack());

// The keyboard

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = $("say").value.trim();
  if (body.length > longest) return;
  if (body.startsWith("/")) command(body);
  else if (body) link.say(body);
  $("say").value = "";
  log.toEnd();
  $("say").focus();
});

function command(line) {
  const [, word, rest] = line.match(/^\/(\S*)\s*(.*)$/s);
  if (word === "join" && rest) go(rest.replace(/^#/, "").toLowerCase());
  else if (word === "name") askName(rest);
  else log.append([{ kind: "told", body: "/join ROOM · /name NAME" }]);
}

$("say").addEventListener("input", () => {
  const over = $("say").value.trim().length - longest;
  $("say").setCustomValidity(over > 0 ? `${over} characters too long` : "");
});

$("say").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});

addEventListener("keydown", (event) => {
  link.comeBack();
  if ($("who").open) return;
  if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    const all = rooms();
    go(all.at((all.indexOf(room) + (event.key === "ArrowUp" ? -1 : 1)) % all.length));
  } else if (event.key === "PageUp" || event.key === "PageDown") {
    event.preventDefault();
    log.page(event.key === "PageUp" ? -1 : 1);
  } else if (event.key === "Escape") {
    log.toEnd();
    $("say").focus();
  } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, textarea, button")) {
    $("say").focus();
  }
});

// Who we are

function askName(suggestion) {
  $("name").value = suggestion || me;
  $("who").showModal();
  $("name").select();
}

$("who").addEventListener("close", () => (me ? $("say").focus() : askName(""))); // one needs a name, even after Escape
$("who-form").addEventListener("submit", () => {
  me = $("name").value;
  localStorage.setItem("name", me);
  room = "";
  enter(roomFromAddress());
});

// A second window has the name of the first until its user says otherwise: the server tells them apart by a number.
if (me) {
  enter(roomFromAddress());
  $("say").focus();
} else askName("");
