/** Changes a query by a click on a tag. Only conditions on the top level are touched; what a person wrote stays. */

export type Click = "and" | "not" | "or";

/** `tag:dog`, or with quotation marks where the tag has signs of the query language in it. */
export function tagCondition(tag: string): string {
  return /^[\p{L}\p{N}_][\p{L}\p{N}_-]*$/u.test(tag) ? `tag:${tag}` : `tag:"${tag.replace(/[\\"]/g, "\\$&")}"`;
}

/** The words of a query on its top level: quotation marks and brackets keep theirs together. */
function words(query: string): string[] {
  const found: string[] = [];
  let word = "";
  let quoted = false;
  let depth = 0;
  for (let place = 0; place < query.length; place += 1) {
    const sign = query.charAt(place);
    if (quoted && sign === "\\") {
      word += sign + query.charAt(place + 1);
      place += 1;
      continue;
    }
    if (sign === '"') quoted = !quoted;
    if (!quoted && sign === "(") depth += 1;
    if (!quoted && sign === ")") depth -= 1;
    if (!quoted && depth === 0 && /\s/.test(sign)) {
      if (word) found.push(word);
      word = "";
    } else word += sign;
  }
  return word ? [...found, word] : found;
}

/** How a query asks for a tag on its top level. */
export function stateOf(query: string, tag: string): Click | null {
  const condition = tagCondition(tag).toLocaleLowerCase();
  const all = words(query).map((word) => word.toLocaleLowerCase());
  const place = all.indexOf(condition);
  if (all.includes(`-${condition}`)) return "not";
  if (place < 0) return null;
  if (all[place - 1] === "not") return "not";
  return all[place - 1] === "or" || all[place + 1] === "or" ? "or" : "and";
}

/** The query after a click on a tag: the same click again takes the condition away. */
export function clicked(query: string, tag: string, how: Click): string {
  const before = stateOf(query, tag);
  const without = leftOut(words(query), tagCondition(tag));
  if (before === how) return without.join(" ");
  const condition = how === "not" ? `-${tagCondition(tag)}` : tagCondition(tag);
  if (how !== "or" || without.length === 0) {
    // AND binds closer than OR: what is there keeps together in brackets.
    const rest = how !== "or" && without.includes("OR") ? [`(${without.join(" ")})`] : without;
    return [...rest, condition].join(" ");
  }
  return [...without, "OR", condition].join(" ");
}

function leftOut(all: readonly string[], condition: string): string[] {
  const same = (word: string | undefined) => {
    const low = word?.toLocaleLowerCase();
    return low === condition.toLocaleLowerCase() || low === `-${condition.toLocaleLowerCase()}`;
  };
  const kept: string[] = [];
  for (const word of all) {
    if (!same(word)) {
      kept.push(word);
      continue;
    }
    while (["AND", "OR", "NOT"].includes(kept.at(-1) ?? "")) kept.pop();
  }
  while (["AND", "OR"].includes(kept[0] ?? "")) kept.shift();
  return kept;
}
