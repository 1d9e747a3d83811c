/** What a run's `state` and `progress` events hold, as far as this page shows it. */
export interface RunStatus {
  state: string;
  message: string | null;
  step: number | null;
  totalSteps: number | null;
  epoch: number | null;
  loss: number | null;
  learningRate: number | null;
  etaSeconds: number | null;
  speed: number | null;
  averageSpeed: number | null;
  validationLoss: number | null;
  bestValidationLoss: number | null;
  bestStep: number | null;
  deviceMib: number | null;
  processMib: number | null;
  error: string | null;
}

type Data = Readonly<Record<string, unknown>>;

export function statusOf(data: Data): RunStatus {
  const number = (name: string, of: Data = data) => (typeof of[name] === "number" ? of[name] : null);
  const memory = isRecord(data.memory_mib) ? data.memory_mib : {};
  return {
    state: typeof data.state === "string" ? data.state : "queued",
    message: typeof data.message === "string" ? data.message : null,
    step: number("step"),
    totalSteps: number("total_steps"),
    epoch: number("epoch"),
    loss: number("loss"),
    learningRate: number("learning_rate"),
    etaSeconds: number("eta_seconds"),
    speed: number("iterations_per_second"),
    averageSpeed: number("average_iterations_per_second"),
    validationLoss: number("validation_loss"),
    bestValidationLoss: number("best_validation_loss"),
    bestStep: number("best_step"),
    deviceMib: number("device_reserved", memory) ?? number("device", memory),
    processMib: number("process", memory),
    error: isRecord(data.error) && typeof data.error.message === "string" ? data.error.message : null,
  };
}

function isRecord(value: unknown): value is Data {
  return typeof value === "object" && value !== null;
}
