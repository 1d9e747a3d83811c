import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

const iris: MantineColorsTuple = [
  "#f0effd",
  "#dcdaf5",
  "#b7b2ea",
  "#9087df",
  "#6f63d6",
  "#594cd0",
  "#4d40ce",
  "#3e32b7",
  "#362ba4",
  "#2c2391",
];

export const theme = createTheme({
  primaryColor: "iris",
  primaryShade: { light: 6, dark: 4 },
  autoContrast: true,
  colors: { iris },
  defaultRadius: "md",
  cursorType: "pointer",
  respectReducedMotion: true,
  fontFamily: "'Inter Variable', system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace",
  headings: { fontWeight: "650" },
  components: {
    Tooltip: { defaultProps: { openDelay: 300, withArrow: true } },
    Paper: { defaultProps: { bg: "var(--panel)" } },
    Button: { defaultProps: { size: "sm" } },
    // Its placeholder for the focus is a child that a menu must not have.
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } },
    // Wide tables are moved by the arrow keys, too.
    TableScrollContainer: { defaultProps: { scrollAreaProps: { viewportProps: { tabIndex: 0 } } } },
    CloseButton: { defaultProps: { "aria-label": "Close" } },
    Notification: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Modal: { styles: { header: { background: "var(--panel)" }, title: { fontWeight: 650 } } },
    Drawer: { styles: { header: { background: "var(--panel)" }, title: { fontWeight: 650 } } },
  },
});

/** Mantine's dimmed texts, placeholders and reds have too little contrast; these have 4.5 to 1 or more. */
export const resolver: CSSVariablesResolver = (current) => ({
  variables: { "--rail": "14rem", "--top": "3.25rem" },
  light: {
    "--mantine-color-dimmed": current.colors.gray[7],
    "--mantine-color-placeholder": current.colors.gray[6],
    "--mantine-color-body": "#fbfbfd",
    "--said-error": current.colors.red[9],
    "--said-warning": "#a34100",
    "--said-good": current.colors.teal[8],
    "--mantine-color-red-filled": current.colors.red[8],
    "--mantine-color-red-filled-hover": current.colors.red[9],
    "--panel": "#ffffff",
    "--line": current.colors.gray[3],
  },
  dark: {
    "--mantine-color-dimmed": current.colors.dark[1],
    "--mantine-color-placeholder": current.colors.dark[2],
    "--mantine-color-body": "#17171b",
    "--mantine-color-default": "#202026",
    "--mantine-color-default-border": "#37373f",
    "--said-error": current.colors.red[4],
    "--said-warning": current.colors.orange[4],
    "--said-good": current.colors.teal[4],
    "--panel": "#1e1e23",
    "--mantine-color-anchor": iris[2],
    "--mantine-color-iris-light": "rgba(144, 135, 223, 0.16)",
    "--mantine-color-iris-light-hover": "rgba(144, 135, 223, 0.22)",
    "--mantine-color-iris-light-color": iris[1],
    "--line": "#34343c",
  },
});
