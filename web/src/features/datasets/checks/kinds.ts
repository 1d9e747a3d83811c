import type { ListFindingsData } from "@/api/generated/types.gen";

export type Kind = ListFindingsData["path"]["kind"];

/** How each kind of finding is called, why it matters, and what mends it. */
export const KINDS: readonly {
  kind: Kind;
  label: string;
  about: string;
  /** trash: the files go; captions: they are written; encoding: they are turned into UTF-8. */
  fix: "trash" | "trash_others" | "captions" | "encoding" | "files";
}[] = [
  {
    kind: "broken",
    label: "Broken pictures",
    about: "They cannot be opened, and training stops at them.",
    fix: "files",
  },
  { kind: "too_small", label: "Too small", about: "They are enlarged, and the model learns the blur.", fix: "trash" },
  {
    kind: "duplicates",
    label: "Duplicates",
    about: "The same file more than once counts more than once.",
    fix: "trash_others",
  },
  {
    kind: "look_alikes",
    label: "Look-alikes",
    about: "Nearly the same pictures: the model may learn them by heart.",
    fix: "trash_others",
  },
  { kind: "blurred", label: "Blurred", about: "Worth a look; a soft background alone is no fault.", fix: "trash" },
  { kind: "no_caption", label: "No caption", about: "There is no caption file beside the picture.", fix: "captions" },
  { kind: "empty_caption", label: "Empty captions", about: "The caption file holds no text.", fix: "captions" },
  {
    kind: "same_caption",
    label: "Equal captions",
    about: "The same words on several pictures do not tell them apart.",
    fix: "captions",
  },
  {
    kind: "unreadable_caption",
    label: "Unreadable captions",
    about: "The caption file is not UTF-8, or not what its ending says.",
    fix: "encoding",
  },
  {
    kind: "odd_files",
    label: "Other files",
    about: "Neither pictures nor captions. They do no harm.",
    fix: "files",
  },
];
