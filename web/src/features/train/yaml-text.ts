/** The text of a job file that follows its data, with the comments that somebody wrote into it. */
import { type Document, isScalar, parseDocument } from "yaml";
import { isPlain, isSame, type Plain } from "@/forms/paths";

/** `text` with what is another in `after` than in `before`; null where the text cannot be read. */
export function rewritten(text: string, before: Plain, after: Plain): string | null {
  const document = parseDocument(text);
  if (document.errors.length > 0) return null;
  change(document, [], before, after);
  return document.toString({ indentSeq: false, lineWidth: 0 });
}

function change(document: Document, path: readonly (string | number)[], before: unknown, after: unknown): void {
  if (isSame(before, after)) return;
  if (isPlain(before) && isPlain(after)) {
    for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) document.deleteIn([...path, key]);
    for (const key of Object.keys(after)) change(document, [...path, key], before[key], after[key]);
  } else if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [i, each] of after.entries()) change(document, [...path, i], before[i], each);
  } else put(document, path, after);
}

/** A plain value keeps its node, and so the comment behind it. */
function put(document: Document, path: readonly (string | number)[], value: unknown): void {
  const found = document.getIn(path, true);
  if (!isScalar(found) || (typeof value === "object" && value !== null)) {
    document.setIn(path, document.createNode(value));
    return;
  }
  found.value = value;
  delete found.format;
  delete found.minFractionDigits;
}
