import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter } from "@tanstack/react-router";
import { Map as MapIcon } from "lucide-react";
import { serverRoot } from "@/api/setup";
import { Empty, Failed, Loading } from "@/shared/states";
import { datasetSearch, librarySearch } from "./datasets-search";
import { Shell } from "./shell";

export interface Context {
  queries: QueryClient;
}

function NotFound() {
  return (
    <Empty icon={MapIcon} title="There is no such page">
      It may have been deleted or renamed. The places on the side lead on.
    </Empty>
  );
}

const root = createRootRouteWithContext<Context>()({ component: Shell, notFoundComponent: NotFound });

const home = createRoute({ getParentRoute: () => root, path: "/" }).lazy(() =>
  import("./home").then((page) => page.Route),
);

const datasets = createRoute({ getParentRoute: () => root, path: "/datasets", validateSearch: librarySearch }).lazy(
  () => import("./datasets").then((page) => page.Route),
);

const dataset = createRoute({
  getParentRoute: () => root,
  path: "/datasets/$datasetId",
  validateSearch: datasetSearch,
}).lazy(() => import("./datasets-one").then((page) => page.Route));

const tree = root.addChildren([home, datasets, dataset]);

export function makeRouter(queries: QueryClient) {
  return createRouter({
    routeTree: tree,
    basepath: serverRoot() || "/",
    context: { queries },
    defaultPreload: "intent",
    defaultPendingComponent: () => <Loading what="the page" />,
    defaultErrorComponent: ({ error, reset }) => <Failed error={error} again={reset} />,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
