import type { EditAsked } from "@/api/generated/types.gen";

export type Operation = EditAsked["operations"][number];
export type Kind = Operation["op"];

/** What can be done to many captions, in the order in which most need it. */
export const KINDS: readonly { op: Kind; label: string; about: string; start: Operation }[] = [
  {
    op: "trigger",
    label: "Trigger word",
    about: "Puts a word first or last, and moves it there from elsewhere.",
    start: { op: "trigger", word: "", place: "first" },
  },
  {
    op: "add",
    label: "Add tags",
    about: "Adds tags that a caption has not yet.",
    start: { op: "add", tags: [], place: "last" },
  },
  {
    op: "remove",
    label: "Remove tags",
    about: "Removes tags; * stands for any letters.",
    start: { op: "remove", tags: [] },
  },
  {
    op: "replace",
    label: "Find and replace",
    about: "Replaces a text, or a regular expression, in captions or in whole tags.",
    start: { op: "replace", find: "", replace: "", regex: false, match_case: false, whole_tags: false },
  },
  {
    op: "sort",
    label: "Sort tags",
    about: "By the alphabet, or the most frequent first.",
    start: { op: "sort", by: "alphabet", keep_first: 0 },
  },
  { op: "dedupe", label: "Remove repeated tags", about: "Keeps the first of each.", start: { op: "dedupe" } },
  { op: "cleanup", label: "Clean up", about: "Mends spaces, commas and empty lines.", start: { op: "cleanup" } },
  {
    op: "underscores",
    label: "Underscores and spaces",
    about: "Turns one into the other; faces such as ^_^ stay.",
    start: { op: "underscores", to: "spaces" },
  },
  {
    op: "set",
    label: "Set the caption",
    about: "Gives all pictures the same caption.",
    start: { op: "set", text: "" },
  },
  {
    op: "replace_caption",
    label: "Replace whole captions",
    about: "Replaces captions that are exactly this; empty means pictures without one.",
    start: { op: "replace_caption", find: "", replace: "" },
  },
  {
    op: "to_utf8",
    label: "Repair the encoding",
    about: "Turns caption files of another encoding into UTF-8. It stands alone.",
    start: { op: "to_utf8", encoding: "cp1252" },
  },
];

/** Whether the server can work with it as it is filled in. */
export function isComplete(operation: Operation): boolean {
  if (operation.op === "trigger") return operation.word.trim() !== "";
  if (operation.op === "add" || operation.op === "remove") return operation.tags.length > 0;
  if (operation.op === "replace") return operation.find !== "";
  return true;
}
