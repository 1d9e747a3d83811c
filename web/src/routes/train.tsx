import { createLazyRoute } from "@tanstack/react-router";
import { TrainPage } from "@/features/train/train-page";

export const Route = createLazyRoute("/train")({ component: Train });

function Train() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <TrainPage
      place={search}
      go={(to, replace = true) =>
        void navigate({ search: (before) => ({ ...before, ...to }), replace, resetScroll: false })
      }
      started={(id) => void navigate({ to: "/runs/$runId", params: { runId: id } })}
    />
  );
}
