// From text to nodes. Nothing that anybody wrote is ever read as markup.

const ADDRESS = /https?:\/\/[^\s<>"]+/gi;
const CLOSES = { ")": "(", "]": "[", "}": "{" };

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

// The parts of a text, the addresses in it as links.
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = withoutPunctuation(found);
    if (!URL.canParse(address)) continue;
    parts.push(text.slice(end, index), link(address));
    end = index + address.length;
  }
  return [...parts, text.slice(end)];
}

function link(address) {
  const made = element("a", "", address);
  made.href = address;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return made;
}

// What ends the sentence and not the address; a bracket belongs to it if it was opened in it.
function withoutPunctuation(address) {
  const last = address.at(-1);
  const stray = CLOSES[last] && address.split(last).length > address.split(CLOSES[last]).length;
  return stray || ".,;:!?'".includes(last) ? withoutPunctuation(address.slice(0, -1)) : address;
}
