import { describe, expect, it } from "vitest";
import type { Plain } from "@/forms/paths";
import { Tab, type Written } from "./tabs";

/** A tab with what is typed in it, and what storage has told it of nobody yet. */
class Page {
  readonly tab: Tab;
  waiting: Written[] = [];

  constructor(
    name: string,
    public data: Plain,
    by?: Written,
  ) {
    this.tab = new Tab(name, data, by?.stamps);
  }

  hear(): boolean {
    const next = this.waiting.shift();
    if (!next) return false;
    const both = this.tab.take(next, this.data);
    const isNew = both !== null && JSON.stringify(both) !== JSON.stringify(this.data);
    if (both) this.data = both;
    return isNew;
  }
}

function write(from: Page, all: readonly Page[]): void {
  const written = JSON.parse(JSON.stringify(from.tab.write(from.data))) as Written;
  for (const each of all) if (each !== from) each.waiting.push(written);
}

/** Everybody hears everything, and writes what was new to it. */
function settle(all: readonly Page[]): void {
  for (let round = 0; round < 20; round++) {
    const woken = all.filter((each) => {
      let isNew = false;
      while (each.waiting.length > 0) isNew = each.hear() || isNew;
      return isNew;
    });
    if (woken.length === 0) return;
    for (const each of woken) write(each, all);
  }
  throw new Error("they never agree");
}

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648;
  };
}

describe("tabs that write one draft", () => {
  it("keep what two of them type before either hears of the other", () => {
    const all = [new Page("one", { seed: 42 }), new Page("two", { seed: 42 })] as const;
    all[0].data = { seed: 42, name: "from one" };
    all[1].data = { seed: 77 };
    write(all[0], all);
    write(all[1], all);
    settle(all);
    expect(all.map((each) => each.data)).toEqual([
      { seed: 77, name: "from one" },
      { seed: 77, name: "from one" },
    ]);
  });

  it("take out what one of them took out", () => {
    const all = [new Page("one", { seed: 42, name: "x" }), new Page("two", { seed: 42, name: "x" })] as const;
    all[0].data = { seed: 42 };
    write(all[0], all);
    settle(all);
    all[1].data = { ...all[1].data, rank: 8 };
    write(all[1], all);
    settle(all);
    expect(all[0].data).toEqual({ seed: 42, rank: 8 });
  });

  it("know what a page wrote that was loaded again", () => {
    const one = new Page("one", { seed: 1 });
    const written = one.tab.write({ seed: 1, name: "a" });
    const again = new Page("three", written.data, written);
    again.waiting.push(written);
    expect(again.hear()).toBe(false);
    one.data = written.data;
    const all = [one, again];
    again.data = { seed: 1 };
    write(again, all);
    settle(all);
    expect(one.data).toEqual({ seed: 1 });
  });

  it("know sections, lists as a whole, and names with dots", () => {
    const begun = { network: { rank: 8 }, datasets: [{ path: "a" }] };
    const all = [new Page("one", begun), new Page("two", begun)] as const;
    all[0].data = { ...begun, network: { rank: 8, alpha: 4 }, datasets: [{ path: "a" }, { path: "b" }] };
    all[1].data = { ...begun, network: { targets: { "unet.mid": 2 } } };
    write(all[0], all);
    write(all[1], all);
    settle(all);
    for (const each of all)
      expect(each.data).toEqual({
        network: { alpha: 4, targets: { "unet.mid": 2 } },
        datasets: [{ path: "a" }, { path: "b" }],
      });
    all[0].data = { datasets: [] };
    write(all[0], all);
    settle(all);
    expect(all[1].data).toEqual({ datasets: [] });
  });

  it("lose nothing and agree, whenever storage tells them", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const next = random(seed);
      const all = [0, 1, 2].slice(0, 2 + Math.floor(next() * 2)).map((i) => new Page(`tab${i}`, { begun: true }));
      const wanted: Record<string, number> = {};
      for (let step = 0; step < 60; step++) {
        const page = all[Math.floor(next() * all.length)] as Page;
        const chance = next();
        if (chance < 0.4) {
          const path = `${page.tab.name}-${Math.floor(next() * 4)}`; // each tab its own fields, and one of all
          const { [path]: _old, ...others } = page.data;
          if (chance < 0.1) delete wanted[path];
          else wanted[path] = step;
          page.data = chance < 0.1 ? others : { ...others, [path]: step, ofAll: step };
          if (next() < 0.8) write(page, all);
        } else if (page.hear()) write(page, all);
      }
      for (const page of all) write(page, all);
      settle(all);
      for (const page of all) {
        const { ofAll, ...own } = page.data;
        expect(own, `seed ${seed}`).toEqual({ begun: true, ...wanted });
        expect(ofAll).toBe(all[0]?.data.ofAll);
      }
    }
  });
});
