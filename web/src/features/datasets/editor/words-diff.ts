import type { PieceOut } from "@/api/generated/types.gen";

const MOST_WORDS = 2000;

/** What leads from one text to another, word by word. Long texts are shown as a whole, removed and added. */
export function wordsDiff(before: string, after: string): PieceOut[] {
  const old = before.match(/\s+|[^\s]+/g) ?? [];
  const fresh = after.match(/\s+|[^\s]+/g) ?? [];
  if (old.length > MOST_WORDS || fresh.length > MOST_WORDS) {
    return [
      { kind: "removed", text: before },
      { kind: "added", text: after },
    ];
  }
  const common = Array.from({ length: old.length + 1 }, () => new Uint16Array(fresh.length + 1));
  for (let one = old.length - 1; one >= 0; one -= 1) {
    for (let other = fresh.length - 1; other >= 0; other -= 1) {
      const row = common[one] as Uint16Array;
      const below = common[one + 1] as Uint16Array;
      row[other] =
        old[one] === fresh[other]
          ? (below[other + 1] as number) + 1
          : Math.max(below[other] as number, row[other + 1] as number);
    }
  }
  const pieces: PieceOut[] = [];
  const push = (kind: PieceOut["kind"], text: string) => {
    const last = pieces.at(-1);
    if (last?.kind === kind) last.text += text;
    else pieces.push({ kind, text });
  };
  let one = 0;
  let other = 0;
  while (one < old.length || other < fresh.length) {
    if (one < old.length && other < fresh.length && old[one] === fresh[other]) {
      push("same", old[one] as string);
      one += 1;
      other += 1;
    } else if (
      other >= fresh.length ||
      (one < old.length && (common[one + 1]?.[other] ?? 0) >= (common[one]?.[other + 1] ?? 0))
    ) {
      push("removed", old[one] as string);
      one += 1;
    } else {
      push("added", fresh[other] as string);
      other += 1;
    }
  }
  return pieces;
}
