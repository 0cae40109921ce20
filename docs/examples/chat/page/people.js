// Who is here, on which worker, and in which rooms there is somebody: the side of the page.

import { element } from "./text.js";

const byName = new Intl.Collator(undefined, { numeric: true }).compare; // ada-2 before ada-10

export class People {
  #rooms;
  #people;
  #count;
  #go;
  #all = new Map();
  #visited = new Set(["lobby"]);
  #room = "";
  #me = "";

  // The lists to fill, where to show how many there are, and what opens a room.
  constructor(rooms, people, count, go) {
    this.#rooms = rooms;
    this.#people = people;
    this.#count = count;
    this.#go = go;
  }

  // We are let in.
  begin(me, room, people) {
    this.#me = me;
    this.#room = room;
    this.#visited.add(room);
    this.#all = new Map(people.map((person) => [person.name, person]));
  }

  join(person) {
    this.#all.set(person.name, person);
  }

  leave(name) {
    this.#all.delete(name);
  }

  // All of them in words.
  get told() {
    const all = [...this.#all.values()].sort((one, other) => byName(one.name, other.name));
    return `Here: ${all.map((person) => `${person.name} (#${person.room}, worker ${person.worker})`).join(", ")}`;
  }

  get rooms() {
    return [...new Set([...this.#visited, ...[...this.#all.values()].map((person) => person.room)])].sort(byName);
  }

  #in(room) {
    return [...this.#all.values()].filter((person) => person.room === room);
  }

  show() {
    const here = this.#in(this.#room).sort((one, other) => byName(one.name, other.name));
    this.#count.textContent = here.length;
    this.#people.replaceChildren(...here.map((person) => this.#person(person)));
    this.#rooms.replaceChildren(...this.rooms.map((room) => this.#roomItem(room)));
  }

  #person({ name, worker }) {
    const item = element("li");
    item.append(element("bdi", "", name + (name === this.#me ? " (you)" : "")), element("span", "", `worker ${worker}`));
    return item;
  }

  #roomItem(room) {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    button.append(element("span", "", `#${room}`), element("span", "", this.#in(room).length || ""));
    button.addEventListener("click", () => this.#go(room));
    if (room === this.#room) button.setAttribute("aria-current", "page");
    item.append(button);
    return item;
  }
}
