import "@fontsource-variable/inter";
import "@mantine/core/styles.css";
import "@mantine/dropzone/styles.css";
import "@mantine/notifications/styles.css";
import "./shared/global.css";
import { MantineProvider } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startLive } from "./api/live";
import { makeQueryClient, setUpClient } from "./api/setup";
import { keepQuestions } from "./routes/early-questions";
import { makeRouter } from "./routes/router";
import { startShortcuts } from "./shared/shortcuts";
import { resolver, theme } from "./shared/theme";

setUpClient();
const queries = makeQueryClient((message) => notifications.show({ color: "red", title: "This did not work", message }));
const router = makeRouter(queries);
startLive(queries);
startShortcuts();
keepQuestions();

const root = document.getElementById("root");
if (!root) throw new Error("index.html lacks #root");
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={resolver} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
