// What people type, checked before it is sent: the rules of words.py, so that the page can say at once what is wrong.
// The server has the last word.

const NAME = /^[\p{L}\p{N}_.-]{1,24}$/u;
const ROOM = /^[\p{L}\p{N}_-]{1,32}$/u;
const MANY_BLANK_LINES = /\n(?:[^\S\n]*\n){3,}/g;

export const NAMES = "A name has 1 to 24 letters, digits, dots, dashes or underscores.";
export const ROOMS = "The name of a room has 1 to 32 letters, digits, dashes or underscores.";
export const HELP = "/join ROOM · /name NAME · /who · /help · // sends a text that begins with a slash";

// A name as it is shown, null if it cannot be one.
export function cleanName(typed) {
  const name = typed.trim().normalize("NFC");
  return NAME.test(name) ? name : null;
}

// The name of a room in small letters, null if it cannot be one.
export function cleanRoom(typed) {
  const room = typed.trim().replace(/^#/, "").toLowerCase().normalize("NFC");
  return ROOM.test(room) ? room : null;
}

// A message without blank lines around it, and with few of them in a row.
export function cleanText(typed) {
  return typed.replace(MANY_BLANK_LINES, "\n\n\n").trim();
}

// Characters as the server counts them: an emoji that takes two units here is one of them.
export const lengthOf = (text) => [...text].length;

// The command that a text begins with, and what follows it; no command if it is something to say.
export function splitCommand(text) {
  if (!text.startsWith("/")) return ["", text];
  if (text.startsWith("//")) return ["", text.slice(1)];
  const [, command, rest] = text.match(/^(\S+)\s*(.*)$/s);
  return [command.toLowerCase(), rest];
}
