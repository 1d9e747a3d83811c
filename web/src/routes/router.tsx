import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter } from "@tanstack/react-router";
import { getDatasetOptions } from "@/api/generated/@tanstack/react-query.gen";
import { serverRoot } from "@/api/setup";
import { pageOf } from "@/features/datasets/gallery/pictures-page";
import { Loading } from "@/shared/states";
import { datasetSearch, librarySearch } from "./datasets-search";
import { BrokenPage, NotFound } from "./problem-pages";
import { compareSearch, runSearch, runsSearch } from "./runs-search";
import { modelsSearch, settingsSearch } from "./searches";
import { Shell } from "./shell";
import { trainSearch } from "./train-search";

export interface Context {
  queries: QueryClient;
}

const root = createRootRouteWithContext<Context>()({ component: Shell, notFoundComponent: NotFound });

const home = createRoute({ getParentRoute: () => root, path: "/" }).lazy(() =>
  import("./home").then((page) => page.Route),
);

const train = createRoute({ getParentRoute: () => root, path: "/train", validateSearch: trainSearch }).lazy(() =>
  import("./train").then((page) => page.Route),
);

const datasets = createRoute({ getParentRoute: () => root, path: "/datasets", validateSearch: librarySearch }).lazy(
  () => import("./datasets").then((page) => page.Route),
);

const dataset = createRoute({
  getParentRoute: () => root,
  path: "/datasets/$datasetId",
  validateSearch: datasetSearch,
  loaderDeps: ({ search: { q, sort, order } }) => ({ query: q, sort, order }),
  // Asked for while the page's code is on its way; nobody waits for it here.
  loader: ({ context: { queries }, params: { datasetId }, deps }) => {
    void queries.prefetchQuery(getDatasetOptions({ path: { dataset_id: datasetId } }));
    void queries.prefetchQuery(pageOf(datasetId, deps, 0));
  },
}).lazy(() => import("./datasets-one").then((page) => page.Route));

const models = createRoute({ getParentRoute: () => root, path: "/models", validateSearch: modelsSearch }).lazy(() =>
  import("./models").then((page) => page.Route),
);

const settings = createRoute({ getParentRoute: () => root, path: "/settings", validateSearch: settingsSearch }).lazy(
  () => import("./settings").then((page) => page.Route),
);

const runs = createRoute({ getParentRoute: () => root, path: "/runs", validateSearch: runsSearch }).lazy(() =>
  import("./runs").then((page) => page.Route),
);

const run = createRoute({ getParentRoute: () => root, path: "/runs/$runId", validateSearch: runSearch }).lazy(() =>
  import("./runs-run").then((page) => page.Route),
);

const compareRuns = createRoute({
  getParentRoute: () => root,
  path: "/runs/compare",
  validateSearch: compareSearch,
}).lazy(() => import("./runs-compare").then((page) => page.Route));

const tree = root.addChildren([home, datasets, dataset, train, runs, run, compareRuns, models, settings]);

export function makeRouter(queries: QueryClient) {
  return createRouter({
    routeTree: tree,
    basepath: serverRoot() || "/",
    context: { queries },
    defaultPreload: "intent",
    defaultPendingComponent: () => <Loading what="the page" />,
    defaultErrorComponent: ({ error, reset }) => <BrokenPage error={error} again={reset} />,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
