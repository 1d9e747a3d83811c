import "uplot/dist/uPlot.min.css";
import { Box, Button, useComputedColorScheme } from "@mantine/core";
import { ZoomOut } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import classes from "./chart.module.css";
import type { ChartModel } from "./model";
import { PlotView } from "./plot-view";

interface Props {
  model: ChartModel;
  /** What is to be drawn anew when they have new numbers. */
  sources: readonly { subscribe: (call: () => void) => () => void }[];
  height: number;
  /** What the chart shows, for those who cannot see it. */
  label: string;
  onPick?: (step: number) => void;
}

/** Lines over steps, time or epochs. New numbers are drawn without React. Drag to zoom, double-click for all. */
export function Chart({ model, sources, height, label, onPick }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<PlotView | null>(null);
  const look = useComputedColorScheme("light");
  const [isZoomed, setZoomed] = useState(false);
  const latest = useRef({ model, look, height, onPick });
  useEffect(() => {
    latest.current = { model, look, height, onPick };
    view.current?.show(model, look);
  });
  useEffect(() => {
    if (!place.current) return;
    const now = latest.current;
    const made = new PlotView(
      place.current,
      now.model,
      now.look,
      () => latest.current.height,
      (step) => latest.current.onPick?.(step),
      setZoomed,
    );
    view.current = made;
    return () => {
      view.current = null;
      made.destroy();
    };
  }, []);
  useEffect(() => {
    const ends = sources.map((source) => source.subscribe(() => view.current?.touch()));
    return () => {
      for (const end of ends) end();
    };
  }, [sources]);
  return (
    <Box pos="relative">
      <div ref={place} className={classes.chart} style={{ height }} role="img" aria-label={label} />
      {isZoomed && (
        <Button
          size="compact-xs"
          variant="default"
          leftSection={<ZoomOut size={14} aria-hidden />}
          onClick={() => view.current?.resetZoom()}
          pos="absolute"
          top={4}
          right={16}
        >
          Show all
        </Button>
      )}
    </Box>
  );
}
