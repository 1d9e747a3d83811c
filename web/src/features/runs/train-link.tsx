import { Link } from "@tanstack/react-router";

interface Props {
  /** The run whose settings the form begins with. */
  from: string;
  /** A setting to look at first. */
  field?: string;
  children?: React.ReactNode;
}

/** To the training form, with the settings of a run. */
export function TrainLink({ from, field, ...rest }: Props) {
  // The form's own route says what its address may hold; this feature does not know it.
  return <Link {...rest} to={"/train" as string} search={{ from, field } as never} />;
}
