import { expect, test } from "vitest";
import { clicked, stateOf, tagCondition } from "./query-edit";

test.each([
  ["dog", "tag:dog"],
  ["blue eyes", 'tag:"blue eyes"'],
  ["a (b)", 'tag:"a (b)"'],
  ['say "hi"', 'tag:"say \\"hi\\""'],
  ["*hair", 'tag:"*hair"'],
])("%s is asked for as %s", (tag, condition) => expect(tagCondition(tag)).toBe(condition));

test.each([
  ["", "dog", "and", "tag:dog"],
  ["tag:dog", "dog", "and", ""],
  ["tag:dog", "cat", "and", "tag:dog tag:cat"],
  ["tag:dog", "dog", "not", "-tag:dog"],
  ["-tag:dog", "dog", "and", "tag:dog"],
  ["tag:dog", "cat", "or", "tag:dog OR tag:cat"],
  ["tag:dog OR tag:cat", "cat", "or", "tag:dog"],
  ["tag:dog OR tag:cat", "dog", "or", "tag:cat"],
  ["tag:dog OR tag:cat", "bird", "not", "(tag:dog OR tag:cat) -tag:bird"],
  ['caption:"tag:dog x" size:>=512', "dog", "and", 'caption:"tag:dog x" size:>=512 tag:dog'],
  ["NOT tag:dog size:>1", "dog", "not", "size:>1"],
] as const)("%s, %s clicked as %s, is %s", (query, tag, how, after) => {
  expect(clicked(query, tag, how)).toBe(after);
});

test("what a query says of a tag", () => {
  expect(stateOf("tag:dog (tag:cat OR tag:bird)", "dog")).toBe("and");
  expect(stateOf("tag:dog (tag:cat OR tag:bird)", "cat")).toBe(null);
  expect(stateOf('TAG:"Blue Eyes"', "blue eyes")).toBe("and");
});
