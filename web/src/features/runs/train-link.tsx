import { Link } from "@tanstack/react-router";

interface Props {
  /** The run whose settings the form begins with. */
  from: string;
  /** A setting to look at: its tab is opened. */
  field?: string;
  children?: React.ReactNode;
}

/** To the training form, with the settings of a run. */
export function TrainLink({ from, field, ...rest }: Props) {
  const tab = field?.startsWith("datasets") ? "Dataset" : field && "Setup";
  return <Link {...rest} to="/train" search={{ from, tab, mode: field ? "all" : undefined }} />;
}
