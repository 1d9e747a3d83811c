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
  return <Link {...rest} to="/train" search={{ from, field }} />;
}
