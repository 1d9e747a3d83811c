/** A caption as tags: lines, and in each what stands between commas. */
export type TagLines = readonly (readonly string[])[];

export function parseTags(text: string): string[][] {
  const lines = text.split(/\r?\n/).map((line) =>
    line
      .split(",")
      .map((tag) => tag.trim())
      .filter(Boolean),
  );
  return lines.length > 0 ? lines : [[]];
}

/** The caption's text. Only called after a change: what nobody touched keeps its own spacing. */
export function formatTags(lines: TagLines): string {
  return lines.map((line) => line.join(", ")).join("\n");
}

function withLine(lines: TagLines, line: number, tags: string[]): string[][] {
  return lines.map((each, place) => (place === line ? tags : [...each]));
}

/** Several at once where commas are between; those that are there already are not added again. */
export function addTags(lines: TagLines, typed: string): string[][] {
  const there = new Set(lines.flat().map(plain));
  const last = Math.max(0, lines.length - 1);
  const tags = [...(lines[last] ?? [])];
  for (const tag of typed.split(",").map((each) => each.trim())) {
    if (!tag || there.has(plain(tag))) continue;
    there.add(plain(tag));
    tags.push(tag);
  }
  return lines.length === 0 ? [tags] : withLine(lines, last, tags);
}

export function removeTag(lines: TagLines, line: number, place: number): string[][] {
  return withLine(
    lines,
    line,
    (lines[line] ?? []).filter((_, each) => each !== place),
  );
}

/** An empty text removes the tag. */
export function renameTag(lines: TagLines, line: number, place: number, to: string): string[][] {
  const tags = to
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
  return withLine(
    lines,
    line,
    (lines[line] ?? []).flatMap((tag, each) => (each === place ? tags : [tag])),
  );
}

export function moveTag(lines: TagLines, line: number, place: number, by: number): string[][] {
  const tags = [...(lines[line] ?? [])];
  const to = Math.min(tags.length - 1, Math.max(0, place + by));
  const [tag] = tags.splice(place, 1);
  if (tag === undefined) return lines.map((each) => [...each]);
  tags.splice(to, 0, tag);
  return withLine(lines, line, tags);
}

function plain(tag: string): string {
  return tag.toLocaleLowerCase().replaceAll("_", " ");
}
