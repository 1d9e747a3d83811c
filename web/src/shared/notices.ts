/** The browser's own notifications: shown where somebody allowed them, and only while the page is not looked at. */
const KEY = "loratory:notices";

export type Notices = "on" | "off" | "denied" | "unavailable";

export function noticesNow(): Notices {
  if (!("Notification" in window) || !window.isSecureContext) return "unavailable";
  if (Notification.permission === "denied") return "denied";
  return Notification.permission === "granted" && read() === "on" ? "on" : "off";
}

/** Ask, where the browser has not been told yet. */
export async function turnNotices(on: boolean): Promise<Notices> {
  if (on && "Notification" in window && Notification.permission === "default") await Notification.requestPermission();
  write(on ? "on" : "off");
  return noticesNow();
}

/** Has nobody said yes or no? Then it may be offered, once. */
export function mayOfferNotices(): boolean {
  return noticesNow() === "off" && read() === null;
}

export interface Notice {
  title: string;
  body: string;
  /** Of several tabs one is enough: notices about the same thing take each other's place. */
  about: string;
  onClick: () => void;
}

export function showNotice({ title, body, about, onClick }: Notice): void {
  if (noticesNow() !== "on" || document.visibilityState === "visible") return;
  const notice = new Notification(title, { body, tag: `loratory ${about}` });
  notice.onclick = () => {
    window.focus();
    onClick();
    notice.close();
  };
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return "off"; // storage is forbidden: an offer could not be remembered, so it is not made
  }
}

function write(value: "on" | "off"): void {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // forbidden
  }
}
