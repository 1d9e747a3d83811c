import Uppy, { type UppyFile } from "@uppy/core";
import { getSafeFileId } from "@uppy/core/utils";
import Tus, { type TusBody } from "@uppy/tus";
import { listUploads, startImport } from "@/api/generated/sdk.gen";
import type { UploadReport } from "@/api/generated/types.gen";
import { type Problem, problemOf } from "@/api/problem";
import { serverUrl } from "@/api/setup";
import type { DroppedFile } from "@/shared/dropped";
import { isArchive } from "./dropped";
import { addImport, type Row, type Sending, setSending } from "./store";

/** Where files go, in the words of uploads. */
export interface Target {
  datasetId: string;
  root: string;
  folder: string;
}

export type Clash = "refuse" | "number" | "replace";

interface Meta {
  [key: string]: unknown;
  name: string;
  relativePath: string;
  root: string;
  folder: string;
  purpose: "file" | "archive";
  clash: Clash;
}

type Sent = UppyFile<Meta, TusBody>;

const MIB = 2 ** 20;
/** Some proxies refuse bodies of more than 100 MB. */
const PIECE = 32 * MIB;
/** Smaller files are sent with their announcement: one request instead of two. */
const SMALL = 4 * MIB;
const AT_ONCE = 5;
const SHOWN_EVERY_MS = 150;
const TOLD_EVERY_MS = 2_000;
const MOST_UNFINISHED = 1000;
/** A server that starts again has minutes for it; after that the button goes on. */
const PATIENCE_MS = [0, 500, 1000, 2000, 4000, ...Array<number>(20).fill(8000)];
/** What sending the same file again can mend. */
const PASSING = new Set([
  "disconnected",
  "disk_full",
  "unreadable",
  "unforeseen",
  "silence",
  "cut",
  "import",
  "token_required",
]);

/** What sending once more never mends. */
const ENDING = new Set(["exists", "wrong_type", "empty_file"]);

const uploaders = new Map<string, Uploader>();

/** The uploader of a dataset; it lives as long as the page, whatever place of it is shown. */
export function uploaderOf(target: Target, arrived: () => void): Uploader {
  let found = uploaders.get(target.datasetId);
  if (!found) {
    found = new Uploader(target, arrived);
    uploaders.set(target.datasetId, found);
  }
  return found;
}

/** Sends files to one dataset. What has arrived is never sent again, also after a reload or a restart of the server. */
export class Uploader {
  readonly #target: Target;
  readonly #uppy: Uppy<Meta, TusBody>;
  readonly #endpoint = new URL(serverUrl("/api/uploads"), window.location.href).href;
  readonly #problems = new Map<string, Problem>();
  readonly #retrying = new Map<string, string>();
  readonly #adopted = new Set<string>();
  #shown: ReturnType<typeof setTimeout> | undefined;
  #told: ReturnType<typeof setTimeout> | undefined;
  readonly #arrived: () => void;

  constructor(target: Target, arrived: () => void) {
    this.#target = target;
    this.#arrived = arrived;
    this.#uppy = new Uppy<Meta, TusBody>({ id: `dataset-${target.datasetId}`, autoProceed: false });
    this.#uppy.use(Tus, {
      endpoint: this.#endpoint,
      headers: { "X-Loratory": "browser" },
      chunkSize: PIECE,
      limit: AT_ONCE,
      retryDelays: PATIENCE_MS,
      // The server's list of unfinished uploads says what can be gone on with, in every browser.
      storeFingerprintForResuming: false,
      allowedMetaFields: ["name", "relativePath", "root", "folder", "purpose", "clash"],
      onShouldRetry: (error, _attempt, _options, next) => {
        const request = error.originalRequest;
        const problem = problemOfTus(error.originalResponse?.getBody(), error.originalResponse?.getStatus());
        if (problem.status === 409 && request?.getMethod() === "POST") return false;
        if (ENDING.has(problem.code) || !next(error)) return false;
        const address = request?.getURL();
        const file = this.#uppy.getFiles().find((each) => each.tus?.uploadUrl && each.tus.uploadUrl === address);
        if (file) this.#retrying.set(file.id, problem.message);
        this.#show();
        return true;
      },
    });
    this.#uppy.on("upload-progress", (file) => {
      if (file) this.#retrying.delete(file.id);
      this.#show();
    });
    this.#uppy.on("upload-retry", () => this.#show());
    this.#uppy.on("file-removed", () => this.#show());
    this.#uppy.on("upload-success", (file) => file && this.#succeeded(file));
    this.#uppy.on("upload-error", (file, _error, response) => file && void this.#failed(file, response?.body?.xhr));
  }

  /** Begin with files; those that the server has parts of are gone on with. */
  async add(dropped: readonly DroppedFile[], clash: Clash = "refuse"): Promise<void> {
    const unfinished = await this.#unfinished();
    for (const { file, path } of dropped) {
      const archive = isArchive(path);
      const meta: Meta = {
        name: file.name,
        relativePath: archive ? file.name : path,
        root: this.#target.root,
        folder: this.#target.folder,
        purpose: archive ? "archive" : "file",
        clash,
      };
      const known = getSafeFileId(
        { name: file.name, type: file.type, data: file, size: file.size, meta, source: "drop" } as unknown as Sent,
        this.#uppy.getID(),
      );
      const there = this.#uppy.getState().files[known];
      if (there) {
        if (!there.progress.uploadComplete && !there.error) continue;
        this.#uppy.removeFile(known);
        this.#problems.delete(known);
      }
      const id = this.#uppy.addFile({ name: file.name, type: file.type, data: file, source: "drop", meta });
      this.#adopt(id, unfinished);
      this.#uppy.setFileState(id, {
        tus: { ...this.#uppy.getFile(id).tus, uploadDataDuringCreation: file.size < SMALL },
      });
    }
    this.#show();
    this.#start();
  }

  pause(): void {
    this.#uppy.pauseAll();
    this.#show();
  }

  resume(): void {
    this.#uppy.resumeAll();
    this.#show();
  }

  pauseOrResume(id: string): void {
    this.#uppy.pauseResume(id);
    this.#show();
  }

  retry(ids: readonly string[], clash?: Clash): void {
    for (const id of ids) {
      this.#problems.delete(id);
      // Another answer to a taken name is a new upload; the old one was announced with the old answer.
      if (clash) this.#uppy.setFileState(id, { tus: { ...this.#uppy.getFile(id).tus, uploadUrl: undefined } });
      if (clash) this.#uppy.setFileMeta(id, { ...this.#uppy.getFile(id).meta, clash });
      void this.#uppy.retryUpload(id).catch(() => undefined);
    }
    this.#show();
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) {
      this.#problems.delete(id);
      this.#uppy.removeFile(id);
    }
    this.#show();
  }

  #start(): void {
    // What goes wrong with a file is told by its own event.
    void this.#uppy.upload().catch(() => undefined);
  }

  async #unfinished(): Promise<readonly UploadReport[]> {
    try {
      return (await listUploads({ query: { limit: MOST_UNFINISHED } })).data.uploads;
    } catch {
      return []; // then they are sent from their beginning
    }
  }

  /** Go on with what the server has of this very file. True where it has some of it. */
  #adopt(id: string, unfinished: readonly UploadReport[]): boolean {
    const file = this.#uppy.getFile(id);
    const path = [file.meta.folder, file.meta.relativePath].filter(Boolean).join("/");
    const found = unfinished.find(
      (each) =>
        each.root === file.meta.root &&
        [each.folder, each.name].filter(Boolean).join("/") === path &&
        each.size_bytes === file.size &&
        each.purpose === file.meta.purpose,
    );
    if (!found) return false;
    this.#uppy.setFileState(id, { tus: { ...file.tus, uploadUrl: `${this.#endpoint}/${found.id}` } });
    return true;
  }

  #succeeded(file: Sent): void {
    this.#problems.delete(file.id);
    this.#retrying.delete(file.id);
    this.#show();
    if (file.meta.purpose === "archive") void this.#import(file);
    else this.#tell();
  }

  async #import(file: Sent): Promise<void> {
    const { datasetId, root, folder } = this.#target;
    const upload =
      String(file.uploadURL ?? file.tus?.uploadUrl ?? "")
        .split("/")
        .at(-1) ?? "";
    try {
      const { data: task } = await startImport({
        body: { source: { kind: "upload", upload_id: upload }, dataset: folder, dataset_root: root },
      });
      addImport({ task: task.id, upload, name: file.name ?? "", datasetId, root, folder });
    } catch (error) {
      this.#problems.set(file.id, problemOf(error));
    }
    this.#show();
  }

  async #failed(file: Sent, xhr: XMLHttpRequest | undefined): Promise<void> {
    const problem = problemOfTus(xhr?.responseText, xhr?.status);
    if (problem.code === "being_uploaded" && !this.#adopted.has(file.id)) {
      this.#adopted.add(file.id);
      if (this.#adopt(file.id, await this.#unfinished())) return this.retry([file.id]);
    }
    this.#problems.set(file.id, problem);
    this.#show();
  }

  /** The dataset has new files; a hundred small ones are told of together. */
  #tell(): void {
    this.#told ??= setTimeout(() => {
      this.#told = undefined;
      this.#arrived();
    }, TOLD_EVERY_MS);
  }

  #show(): void {
    this.#shown ??= setTimeout(() => {
      this.#shown = undefined;
      setSending(this.#target.datasetId, this.#sending());
    }, SHOWN_EVERY_MS);
  }

  #sending(): Sending {
    const rows = this.#uppy.getFiles().map((file) => this.#row(file));
    const open = rows.filter((row) => row.state === "sending" || row.state === "paused" || row.state === "waiting");
    return { rows, paused: open.length > 0 && open.every((row) => row.state === "paused") };
  }

  #row(file: Sent): Row {
    const problem = this.#problems.get(file.id);
    const size = file.size ?? 0;
    const base = {
      id: file.id,
      path: file.meta.relativePath,
      bytes: size,
      sent: file.progress.bytesUploaded || 0,
      isArchive: file.meta.purpose === "archive",
      problem: problem?.message ?? null,
      canRetry: problem !== undefined && (problem.isDisconnected || PASSING.has(problem.code)),
    };
    if (problem) return { ...base, state: problem.code === "exists" ? "clash" : "failed" };
    if (file.progress.uploadComplete) return { ...base, sent: size, state: "done" };
    const retrying = this.#retrying.get(file.id);
    if (retrying && !file.isPaused) return { ...base, problem: retrying, state: "retrying" };
    if (file.isPaused) return { ...base, state: "paused" };
    if (file.progress.uploadStarted && base.sent > 0) return { ...base, state: "sending" };
    return { ...base, state: "waiting" };
  }
}

function problemOfTus(body: string | undefined, status = 0): Problem {
  try {
    return problemOf(JSON.parse(body ?? ""), status);
  } catch {
    return problemOf(body, status);
  }
}
