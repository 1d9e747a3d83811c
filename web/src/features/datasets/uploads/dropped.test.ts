import { expect, test } from "vitest";
import { droppedOf, isArchive, suggestedName, withoutTop } from "./dropped";

function file(path: string): File {
  return Object.assign(new File(["x"], path.slice(path.lastIndexOf("/") + 1)), { path });
}

test("files keep their way, and what systems leave behind is not among them", () => {
  const dropped = droppedOf([file("./dog/a.png"), file("/dog/.DS_Store"), file("dog/__MACOSX/._a.png"), file("b.txt")]);
  expect(dropped.map((each) => each.path)).toEqual(["b.txt", "dog/a.png"]);
});

test.each([
  [["dog/a.png", "dog/b/c.png"], "dog", ["a.png", "b/c.png"]],
  [["10_dog/a.png"], "dog", ["10_dog/a.png"]],
  [["a.png", "b.png"], "", ["a.png", "b.png"]],
  [["my.dog.tar.gz"], "my.dog", ["my.dog.tar.gz"]],
  [["dog/a.png", "cat/a.png"], "", ["cat/a.png", "dog/a.png"]],
])("%s becomes the dataset %s", (paths, name, left) => {
  const dropped = droppedOf(paths.map(file));
  expect(suggestedName(dropped)).toBe(name);
  expect(withoutTop(dropped).map((each) => each.path)).toEqual(left);
});

test("archives by name", () => {
  expect(["a.ZIP", "a.tar.gz", "a.tgz", "a.7z"].every(isArchive)).toBe(true);
  expect(["zip", "a.png", "a.gz"].some(isArchive)).toBe(false);
});
