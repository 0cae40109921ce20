// The field in which one types: what Enter does, how much still fits, and what is wrong with what was typed.

import { cleanText, lengthOf } from "./words.js";

const NEAR = 200; // characters left from which on they are counted

export class Composer {
  #form;
  #field;
  #hint;
  #left;
  #accept;
  longest = 2000;

  // `accept` takes what was typed, or says what is wrong with it.
  constructor({ form, field, hint, left }, accept) {
    this.#form = form;
    this.#field = field;
    this.#hint = hint;
    this.#left = left;
    this.#accept = accept;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    field.addEventListener("input", () => this.#typed());
    field.addEventListener("keydown", (event) => this.#pressed(event));
  }

  focus() {
    this.#field.focus();
  }

  // Say something about what was typed, until something else is.
  hint(words) {
    this.#hint.textContent = words;
  }

  #submit() {
    const text = cleanText(this.#field.value);
    const complaint = text && this.#accept(text);
    if (!complaint) this.#field.value = "";
    this.#typed();
    this.hint(complaint);
  }

  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #typed() {
    this.hint("");
    const left = this.longest - lengthOf(cleanText(this.#field.value));
    this.#left.textContent = left < 0 ? `${-left} characters too many` : left < NEAR ? `${left} characters left` : "";
    this.#left.classList.toggle("over", left < 0);
    this.#field.setCustomValidity(left < 0 ? this.#left.textContent : "");
    this.#field.parentElement.dataset.text = this.#field.value; // invisible beside the field, as high as it should be
  }
}
