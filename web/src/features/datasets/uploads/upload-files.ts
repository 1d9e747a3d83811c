import type { UppyFile } from "@uppy/core";
import type { TusBody } from "@uppy/tus";
import type { UploadReport } from "@/api/generated/types.gen";
import type { Problem } from "@/api/problem";
import type { DroppedFile } from "@/shared/dropped";
import type { Begun } from "./begun";
import { isArchive } from "./dropped";
import type { Row } from "./store";
import { isPassing } from "./upload-problems";

/** Where files go, in the words of uploads. */
export interface Target {
  datasetId: string;
  root: string;
  folder: string;
}

export type Clash = "refuse" | "number" | "replace";

/** What the server is told of a file. */
export interface Meta {
  [key: string]: unknown;
  name: string;
  relativePath: string;
  root: string;
  folder: string;
  purpose: "file" | "archive";
  clash: Clash;
}

export type Sent = UppyFile<Meta, TusBody>;

/** A dropped file as Uppy takes it. */
export function described({ file, path }: DroppedFile, target: Target, clash: Clash) {
  const archive = isArchive(path);
  const meta: Meta = {
    name: file.name,
    relativePath: archive ? file.name : path,
    root: target.root,
    folder: target.folder,
    purpose: archive ? "archive" : "file",
    clash,
  };
  return { name: file.name, type: file.type, data: file, size: file.size, source: "drop", meta };
}

/** The file's way in its dataset, of an upload that the server knows. */
function wayOf(report: UploadReport, target: Target): string {
  const below = report.folder.slice(target.folder.length).replace(/^\//, "");
  return [below, report.name].filter(Boolean).join("/");
}

/** What the server has of files for this place. */
export function partsFor(target: Target, uploads: readonly UploadReport[]): UploadReport[] {
  const inside = (folder: string) =>
    target.folder === "" || folder === target.folder || folder.startsWith(`${target.folder}/`);
  return uploads.filter((each) => each.root === target.root && inside(each.folder));
}

export function begunOfPart(report: UploadReport, target: Target): Begun {
  return { path: wayOf(report, target), bytes: report.size_bytes, modified: null, arrived: false };
}

/** The part that the server has of this very file. */
export function partOf(file: Sent, target: Target, parts: readonly UploadReport[]): UploadReport | undefined {
  return parts.find(
    (each) =>
      wayOf(each, target) === file.meta.relativePath &&
      each.size_bytes === file.size &&
      each.purpose === file.meta.purpose,
  );
}

/** How a file stands, for its row. */
export function rowOf(file: Sent, problem: Problem | undefined, retrying: string | undefined): Row {
  const size = file.size ?? 0;
  const base = {
    id: file.id,
    path: file.meta.relativePath,
    bytes: size,
    sent: file.progress.bytesUploaded || 0,
    isArchive: file.meta.purpose === "archive",
    problem: problem?.message ?? null,
    canRetry: problem !== undefined && isPassing(problem),
  };
  if (problem) return { ...base, state: problem.code === "exists" ? "clash" : "failed" };
  if (file.progress.uploadComplete) return { ...base, sent: size, state: "done" };
  if (file.isPaused) return { ...base, state: "paused" };
  if (retrying) return { ...base, problem: retrying, state: "retrying" };
  if (file.progress.uploadStarted && base.sent > 0) return { ...base, state: "sending" };
  return { ...base, state: "waiting" };
}
