/** Hand a text to the browser as a file to keep. */
export function saveFile(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Safari reads it only after the click is over.
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
