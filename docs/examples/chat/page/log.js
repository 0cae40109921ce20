// The messages of a room. All that are known are in an array; a slice of it, never more than a few hundred, is in the
// document, and moves as one scrolls. Ten thousand messages cost no more layout than three hundred.

import { element, linked } from "./text.js";

const MOST = 300;
const STEP = 100;
const NEAR = 600; // pixels from an end of the slice at which it moves
const SAME_SPEAKER = 5 * 60; // seconds

export class Log {
  #box;
  #button;
  #items = [];
  #start = 0;
  #end = 0;
  #unseen = 0;
  #asked = false;
  #me = "";
  #older;
  #pinned = true; // at the end, and staying there
  #top = 0; // where it was scrolled to when we last looked
  more = false; // whether there are older ones to ask for

  constructor(box, button, older) {
    this.#box = box;
    this.#button = button;
    this.#older = older;
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#button.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#pinned && this.#bottom()).observe(this.#box);
  }

  get last() {
    return this.#items.findLast((item) => item.id)?.id ?? null;
  }

  begin(me, fresh) {
    this.#me = me;
    this.#asked = false;
    if (!fresh) return;
    this.#items = [];
    this.more = false;
    this.toEnd();
  }

  append(items) {
    const whole = this.#end === this.#items.length;
    this.#items.push(...items);
    if (this.#pinned) {
      this.#show(Math.max(this.#start, this.#items.length - MOST), this.#items.length);
      this.#bottom();
      return;
    }
    this.#unseen += items.length;
    if (whole && this.#end - this.#start < MOST) this.#show(this.#start, this.#items.length);
    this.#tellUnseen();
  }

  prepend(items, more) {
    this.#asked = false;
    this.more = more;
    this.#items.unshift(...items);
    this.#start += items.length;
    this.#end += items.length;
    this.#goUp();
  }

  toEnd() {
    this.#pinned = true;
    this.#unseen = 0;
    this.#tellUnseen();
    this.#box.replaceChildren();
    this.#start = this.#end = Math.max(0, this.#items.length - MOST);
    this.#show(this.#start, this.#items.length);
    this.#bottom();
  }

  page(direction) {
    this.#box.scrollBy({ top: direction * this.#box.clientHeight * 0.9 });
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const below = scrollHeight - clientHeight - scrollTop;
    const wentUp = scrollTop < this.#top; // else the box has only become smaller, and we stay at the end
    this.#top = scrollTop;
    this.#pinned = this.#end === this.#items.length && (below < 4 || (this.#pinned && !wentUp));
    if (this.#pinned) this.#unseen = 0;
    this.#tellUnseen();
    if (scrollTop < NEAR) this.#goUp();
    else if (below < NEAR && this.#end < this.#items.length) this.#goDown();
  }

  #goUp() {
    if (this.#start > 0) {
      const start = Math.max(0, this.#start - STEP);
      this.#keepPlace(() => this.#show(start, Math.min(this.#end, start + MOST)));
    } else if (this.more && !this.#asked) {
      this.#asked = true;
      this.#older(this.#items.find((item) => item.id).id);
    }
  }

  #goDown() {
    const end = Math.min(this.#items.length, this.#end + STEP);
    this.#keepPlace(() => this.#show(Math.max(this.#start, end - MOST), end));
  }

  // Make the document show items[start..end), changing only what differs.
  #show(start, end) {
    for (; this.#start < start && this.#start < this.#end; this.#start++) this.#box.firstElementChild.remove();
    for (; this.#end > end && this.#start < this.#end; this.#end--) this.#box.lastElementChild.remove();
    if (this.#start === this.#end) this.#start = this.#end = start;
    this.#box.prepend(...this.#rows(start, this.#start));
    this.#box.append(...this.#rows(this.#end, end));
    [this.#start, this.#end] = [start, end];
  }

  #rows(from, to) {
    const rows = [];
    for (let index = from; index < to; index++) rows.push(this.#row(this.#items[index], this.#items[index - 1]));
    return rows;
  }

  #row(item, before) {
    const row = element("div", "row");
    if (item.kind !== "text") {
      row.classList.add("told");
      row.textContent = item.body;
      return row;
    }
    row.classList.toggle("mine", item.name === this.#me);
    if (before?.kind !== "text" || before.name !== item.name || item.at - before.at > SAME_SPEAKER) row.append(this.#by(item, row));
    const body = element("div", "body");
    body.append(...linked(item.body));
    row.append(body);
    return row;
  }

  #by(item, row) {
    row.classList.add("head");
    const by = element("div", "by");
    const at = new Date(item.at * 1000);
    const time = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = at.toISOString();
    time.title = at.toLocaleString();
    if (at.toDateString() !== new Date().toDateString()) time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    by.style.setProperty("--hue", hue(item.name));
    by.append(element("bdi", "", item.name), time);
    return by;
  }

  #keepPlace(change) {
    const top = this.#box.getBoundingClientRect().top;
    const seen = [...this.#box.children].find((row) => row.getBoundingClientRect().bottom > top);
    const before = seen?.getBoundingClientRect().top;
    change();
    if (seen?.isConnected) this.#box.scrollTop += seen.getBoundingClientRect().top - before;
  }

  #bottom() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
  }

  #tellUnseen() {
    this.#button.hidden = this.#pinned;
    this.#button.textContent = this.#unseen ? `${this.#unseen} new ↓` : "To the end ↓";
  }
}

function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 360;
  return sum;
}
