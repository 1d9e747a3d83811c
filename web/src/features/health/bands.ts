/** What a number of a run means, in words. Limits are those of docs/guide/metrics.md. */

export interface Band {
  word: string;
  tone: "good" | "fine" | "watch" | "bad";
  advice: string;
}

export function slopeBand(slope: number): Band {
  if (slope > 0.001)
    return {
      word: "Rising",
      tone: "bad",
      advice: "The loss goes up. If that lasts, lower the learning rate or go back to an earlier checkpoint.",
    };
  if (slope > 0.0001) return { word: "Rising a little", tone: "watch", advice: "Watch it: noise alone can do this." };
  if (slope >= -0.0001)
    return {
      word: "Plateau",
      tone: "fine",
      advice: "The loss has settled. The samples say whether more steps still help.",
    };
  return { word: "Falling", tone: "good", advice: "It still learns. Nothing to do." };
}

export function stabilityBand(share: number): Band {
  if (share < 0.45)
    return {
      word: "Unstable",
      tone: "bad",
      advice: "Steps undo each other. A lower learning rate or a larger batch helps.",
    };
  if (share < 0.5)
    return {
      word: "Near chance",
      tone: "watch",
      advice: "Usual for a small batch; below 0.45 it would be unstable. A larger batch raises it.",
    };
  if (share <= 0.55)
    return {
      word: "Healthy for video",
      tone: "fine",
      advice: "With pictures 0.55 to 0.7 is usual; a small batch has less.",
    };
  if (share <= 0.7) return { word: "Healthy", tone: "good", advice: "Usual for pictures." };
  return {
    word: "Very steady",
    tone: "good",
    advice: "Every step goes the same way: the learning rate could be higher.",
  };
}

export function r2Band(share: number): Band {
  if (share < 0.05)
    return {
      word: "No trend",
      tone: "fine",
      advice:
        "A straight line explains nothing: the loss has settled, or is very rough, as with one picture in a step.",
    };
  if (share < 0.3) return { word: "Weak trend", tone: "fine", advice: "The slope is there under much noise." };
  return { word: "Clear trend", tone: "good", advice: "The slope can be believed." };
}

export function variationBand(spread: number): Band {
  if (spread < 0.25) return { word: "Calm", tone: "good", advice: "The losses lie close together." };
  if (spread < 0.5) return { word: "Rough", tone: "fine", advice: "Usual for small batches." };
  return { word: "Very rough", tone: "watch", advice: "A larger batch or gradient accumulation makes it calmer." };
}
