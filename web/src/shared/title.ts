/** The title of the browser's tab: the page's name, and how much happened while nobody looked. */
let name = "Loratory";
let unread = 0;

export function setTitle(title: string): void {
  name = title;
  write();
}

/** Something ended; told in the title until somebody looks. */
export function addUnread(): void {
  if (document.visibilityState === "visible") return;
  unread += 1;
  write();
}

function write(): void {
  document.title = unread > 0 ? `(${unread}) ${name}` : name;
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  unread = 0;
  write();
});
