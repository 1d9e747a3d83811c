import { Group, SegmentedControl, Slider, Switch, Text } from "@mantine/core";
import type { AxisName } from "./axis";
import type { ChartOptions } from "./use-chart-options";

interface Props {
  options: ChartOptions;
  /** What is along the chart now. */
  x: AxisName;
  /** Epochs can be told only when the first one is over. */
  hasEpochs: boolean;
}

/** What can be set about a chart. */
export function ChartControls({ options, x, hasEpochs }: Props) {
  return (
    <Group gap="sm">
      <SegmentedControl
        size="xs"
        aria-label="Along"
        value={x}
        onChange={(to) => options.change({ x: to === "step" ? undefined : (to as "time" | "epoch") })}
        data={[
          { value: "step", label: "Steps" },
          { value: "time", label: "Time" },
          { value: "epoch", label: "Epochs", disabled: !hasEpochs },
        ]}
      />
      <Group gap="xs" wrap="nowrap" flex="1 1 10rem" maw="18rem">
        <Text size="xs" style={{ whiteSpace: "nowrap" }} aria-hidden>
          Smoothing
        </Text>
        <Slider
          flex={1}
          size="sm"
          min={0}
          max={0.99}
          step={0.01}
          label={null}
          value={options.smooth}
          onChange={options.drag}
          onChangeEnd={(smooth) => options.change({ smooth })}
          thumbLabel="Smoothing"
        />
        <Text size="xs" className="numbers" w="2rem" ta="right">
          {options.smooth.toFixed(2)}
        </Text>
      </Group>
      <Switch
        size="xs"
        label="Logarithmic"
        checked={options.log}
        onChange={(event) => options.change({ log: event.currentTarget.checked || undefined })}
      />
      <Switch
        size="xs"
        label="Leave out outliers"
        checked={options.clip}
        onChange={(event) => options.change({ clip: event.currentTarget.checked ? undefined : false })}
      />
    </Group>
  );
}
