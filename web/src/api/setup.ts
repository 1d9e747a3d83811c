import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { client } from "./generated/client.gen";
import { problemOf } from "./problem";
import { useSession } from "./session";

/** Where the app is served: the server says it in <base>, so that this also works below a path of a proxy. */
export function serverRoot(): string {
  return new URL(document.baseURI).pathname.replace(/\/$/, "");
}

/** An address of the server, such as a picture's. */
export function serverUrl(path: string): string {
  return `${serverRoot()}${path}`;
}

export function setUpClient(): void {
  // The header tells the server that no other site's page sent this: those cannot set it.
  client.setConfig({ baseUrl: serverRoot(), headers: { "X-Loratory": "browser" }, throwOnError: true });
  client.interceptors.error.use((error, response) => {
    const problem = problemOf(error, response?.status ?? 0);
    // What is typed stays where it is: the app asks for the token above it.
    if (problem.code === "token_required") useSession.setState({ hasEnded: true });
    return problem;
  });
}

/** `tell` shows what nobody else shows: a change that failed, unless its caller says it at the right place. */
export function makeQueryClient(tell: (message: string) => void): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache(),
    mutationCache: new MutationCache({
      onError: (error, _variables, _context, mutation) => {
        if (!mutation.meta?.tellsItself) tell(problemOf(error).message);
      },
    }),
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        retry: (failures, error) => problemOf(error).isDisconnected && failures < 3,
        retryDelay: (attempt) => Math.min(1000 * 2 ** attempt, 10_000),
      },
      mutations: { retry: false },
    },
  });
}
