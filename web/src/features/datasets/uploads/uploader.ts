import Uppy from "@uppy/core";
import { getSafeFileId } from "@uppy/core/utils";
import Tus, { type TusBody, type TusDetailedError } from "@uppy/tus";
import { listUploads, startImport } from "@/api/generated/sdk.gen";
import type { UploadReport } from "@/api/generated/types.gen";
import { type Problem, problemOf } from "@/api/problem";
import { serverUrl } from "@/api/setup";
import type { DroppedFile } from "@/shared/dropped";
import { begin, begunOf, forget, hasArrived } from "./begun";
import { isThere, placed } from "./same-files";
import { isOnServer, untilServerAnswers } from "./server-state";
import { addImport, isAnySending, setSending } from "./store";
import {
  begunOfPart,
  type Clash,
  described,
  type Meta,
  partOf,
  partsFor,
  rowOf,
  type Sent,
  type Target,
} from "./upload-files";
import { isFinal, isPassing, problemOfAnswer, problemOfTus } from "./upload-problems";

const MIB = 2 ** 20;
/** Some proxies refuse bodies of more than 100 MB. */
const PIECE = 32 * MIB;
/** Smaller files are sent with their announcement: one request instead of two. */
const SMALL = 4 * MIB;
const AT_ONCE = 5;
const SHOWN_EVERY_MS = 150;
const TOLD_EVERY_MS = 2_000;
const MOST_UNFINISHED = 1000;
const PATIENCE_MS = [0, 500, 1000, 2000, 4000, ...Array<number>(20).fill(8000)];

const uploaders = new Map<string, Uploader>();

// Going on after the page was left is possible, but somebody must pick the files once more.
window.addEventListener("beforeunload", (event) => {
  if (isAnySending()) event.preventDefault();
});

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
  /** Announced, and the answer was cut off: the server may have taken them. */
  readonly #unanswered = new Set<string>();
  readonly #arrived: () => void;
  /** Why nothing is sent until somebody has done something about it. */
  #halted: string | null = null;
  /** Why nothing is sent until the server answers again. */
  #waits: string | null = null;
  #isPaused = false;
  /** Files that were dropped again and had arrived before. */
  #skipped = 0;
  #shown: ReturnType<typeof setTimeout> | undefined;
  #told: ReturnType<typeof setTimeout> | undefined;

  constructor(target: Target, arrived: () => void) {
    this.#target = target;
    this.#arrived = arrived;
    this.#uppy = new Uppy<Meta, TusBody>({
      id: `dataset-${target.datasetId}`,
      autoProceed: false,
      // What goes wrong is shown beside its file; the console is for what nobody expects.
      logger: { debug: () => {}, warn: () => {}, error: () => {} },
    });
    this.#uppy.use(Tus, {
      endpoint: this.#endpoint,
      headers: { "X-Loratory": "browser" },
      chunkSize: PIECE,
      limit: AT_ONCE,
      retryDelays: PATIENCE_MS,
      // The server's list of unfinished uploads says what can be gone on with, in every browser.
      storeFingerprintForResuming: false,
      allowedMetaFields: ["name", "relativePath", "root", "folder", "purpose", "clash"],
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

  /** Begin with files; those that the server has parts of are gone on with, those that it has are left out. */
  async add(dropped: readonly DroppedFile[], clash: Clash = "refuse"): Promise<void> {
    const { datasetId } = this.#target;
    const parts = await this.#parts();
    const begun = begunOf(datasetId);
    const known = new Map(begun.map((each) => [each.path, each]));
    const all = placed(dropped, [...begun, ...parts.map((each) => begunOfPart(each, this.#target))]);
    const wanted = all.filter(({ file, path }) => !isThere(known.get(path), file));
    this.#skipped += all.length - wanted.length;
    const files = new Map(wanted.map((each) => this.#withId(described(each, this.#target, clash))));
    for (const id of files.keys()) if (!this.#makeRoom(id)) files.delete(id);
    begin(
      datasetId,
      [...files.values()].map(({ data, meta }) => ({
        path: meta.relativePath,
        bytes: data.size,
        modified: data.lastModified,
        arrived: false,
      })),
    );
    this.#uppy.addFiles([...files.values()]);
    this.#prepare([...files.keys()], parts);
    this.#show();
    // What goes wrong with a file is told by its own event.
    void this.#uppy.upload().catch(() => undefined);
  }

  pause(): void {
    this.#isPaused = true;
    this.#queue().pause();
    // Small files are sent in one request, which is left to end: of a large one the server keeps what has come.
    for (const { id, progress, tus } of this.#uppy.getFiles()) {
      const isSending = (progress.bytesUploaded || 0) > 0 && !progress.uploadComplete;
      if (isSending && !tus?.uploadDataDuringCreation) this.#uppy.pauseResume(id);
    }
    this.#show();
  }

  resume(): void {
    this.#isPaused = false;
    this.#halted = null;
    this.#retrying.clear();
    this.#queue().resume();
    for (const { id, isPaused } of this.#uppy.getFiles()) if (isPaused) this.#uppy.pauseResume(id);
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
    forget(this.#target.datasetId, new Set(ids.map((id) => this.#uppy.getFile(id).meta.relativePath)));
    for (const id of ids) {
      this.#problems.delete(id);
      this.#uppy.removeFile(id);
    }
    if (this.#uppy.getFiles().length === 0) {
      this.#halted = this.#waits = null;
      this.#isPaused = false;
      this.#queue().resume();
      this.#skipped = 0;
    }
    this.#show();
  }

  /** Nothing more of what was begun and is not there is waited for. */
  async forgetParts(): Promise<void> {
    forget(this.#target.datasetId);
    for (const { id } of await this.#parts()) {
      const headers = { "Tus-Resumable": "1.0.0", "X-Loratory": "browser" };
      await fetch(`${this.#endpoint}/${id}`, { method: "DELETE", headers });
    }
  }

  #withId(file: ReturnType<typeof described>): [string, typeof file] {
    return [getSafeFileId(file as unknown as Sent, this.#uppy.getID()), file];
  }

  /** Whether a file may be added: one that is on its way stays, one that has ended makes room for the same once more. */
  #makeRoom(id: string): boolean {
    const there = this.#uppy.getState().files[id];
    if (there && !there.progress.uploadComplete && !there.error) return false;
    if (there) this.#uppy.removeFile(id);
    this.#problems.delete(id);
    return true;
  }

  /** How each is sent, and from where. All at once: each change of Uppy's state copies the list of all files. */
  #prepare(ids: readonly string[], parts: readonly UploadReport[]): void {
    const files = { ...this.#uppy.getState().files };
    for (const id of ids) {
      const file = files[id];
      if (!file) continue;
      const part = partOf(file, this.#target, parts);
      const tus: typeof file.tus = {
        uploadDataDuringCreation: (file.size ?? 0) < SMALL,
        onShouldRetry: (error, _attempt, _options, next) => this.#shouldRetry(id, error, next),
        ...(part && { uploadUrl: `${this.#endpoint}/${part.id}` }),
      };
      files[id] = { ...file, tus: { ...file.tus, ...tus } };
    }
    this.#uppy.setState({ files });
  }

  async #parts(): Promise<readonly UploadReport[]> {
    try {
      return partsFor(this.#target, (await listUploads({ query: { limit: MOST_UNFINISHED } })).data.uploads);
    } catch {
      return []; // then they are sent from their beginning
    }
  }

  #shouldRetry(id: string, error: TusDetailedError, next: (error: TusDetailedError) => boolean): boolean {
    const problem = problemOfTus(error);
    if (isFinal(problem, error.originalRequest?.getMethod()) || !next(error)) return false;
    if (problem.code === "disk_full") {
      // Asking again and again frees no room: all wait, with what has arrived, until somebody has made some.
      this.#halted = problem.message;
      this.#queue().pause();
    } else if (problem.isDisconnected) {
      if (error.originalRequest?.getMethod() === "POST") this.#unanswered.add(id);
      void this.#waitForServer(problem.message);
    } else this.#retrying.set(id, problem.message);
    this.#show();
    return true;
  }

  /** Thousands of files need not all ask whether the server is back. */
  async #waitForServer(message: string): Promise<void> {
    if (this.#waits !== null) return;
    this.#waits = message;
    this.#queue().pause();
    await untilServerAnswers();
    this.#waits = null;
    if (this.#halted === null && !this.#isPaused) this.resume();
    else this.#show();
  }

  /** Which requests are under way; held, it begins no other one, and those that run come to their end. */
  #queue() {
    const tus = this.#uppy.getPlugin<Tus<Meta, TusBody>>("Tus");
    if (!tus) throw new Error("Uppy lacks its plugin");
    return tus.requests;
  }

  #succeeded(file: Sent): void {
    this.#problems.delete(file.id);
    this.#retrying.delete(file.id);
    hasArrived(this.#target.datasetId, file.meta.relativePath);
    this.#show();
    if (file.meta.purpose === "archive") void this.#import(file);
    else this.#tell();
  }

  async #import(file: Sent): Promise<void> {
    const { datasetId, root, folder } = this.#target;
    const address = String(file.uploadURL ?? file.tus?.uploadUrl ?? "");
    const upload = address.slice(address.lastIndexOf("/") + 1);
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
    const problem = problemOfAnswer(xhr?.responseText, xhr?.status);
    if (problem.code === "being_uploaded" && !this.#adopted.has(file.id)) {
      this.#adopted.add(file.id);
      this.#prepare([file.id], await this.#parts());
      if (this.#uppy.getFile(file.id).tus?.uploadUrl) return this.retry([file.id]);
    }
    if (problem.code === "exists" && (await this.#isTaken(file))) return this.#succeeded(file);
    this.#problems.set(file.id, problem);
    // What is not taken at all is not waited for after a reload either.
    if (!isPassing(problem) && problem.code !== "exists") {
      forget(this.#target.datasetId, new Set([file.meta.relativePath]));
    }
    this.#show();
  }

  /** Is what has the file's name the file itself, whose arrival nobody could tell? */
  async #isTaken(file: Sent): Promise<boolean> {
    if (!this.#unanswered.has(file.id) || !(await isOnServer(file))) return false;
    const { progress } = this.#uppy.getFile(file.id);
    this.#uppy.setFileState(file.id, { error: null, progress: { ...progress, uploadComplete: true } });
    return true;
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
      const rows = this.#uppy
        .getFiles()
        .map((file) => rowOf(file, this.#problems.get(file.id), this.#retrying.get(file.id)));
      setSending(this.#target.datasetId, {
        rows,
        paused: this.#isPaused,
        halted: this.#halted,
        waits: this.#waits,
        skipped: this.#skipped,
      });
    }, SHOWN_EVERY_MS);
  }
}
