import { NativeSelect, Select } from "@mantine/core";
import type { WidgetProps } from "../context";

const MOST_WITHOUT_SEARCH = 9;

export function SelectWidget(props: WidgetProps) {
  const { spec, form, field } = props;
  const isType = field.key.endsWith(".type");
  const value = props.value == null ? "" : String(props.value);
  const known = spec.options.some((each) => each.value === value) || value === "";
  const data = known ? [...spec.options] : [...spec.options, { value, label: value }];
  const set = (chosen: string | null) => {
    if (isType && chosen) form.setType(props.path.slice(0, -".type".length), chosen);
    else if (!chosen) props.set(spec.usual === null ? undefined : null);
    else props.set(spec.isNumeric ? Number(chosen) : chosen);
  };
  const shared = { id: props.id, error: props.hasError, "aria-describedby": props.describedBy };
  const none = props.meant === undefined ? "automatic" : `${String(props.meant)} (usual)`;
  if (spec.options.length > MOST_WITHOUT_SEARCH) {
    return (
      <Select
        {...shared}
        data={data}
        value={value || null}
        onChange={set}
        searchable
        clearable={spec.nullable}
        allowDeselect={false}
        placeholder={none}
        nothingFoundMessage="Nothing is called so"
      />
    );
  }
  return (
    <NativeSelect
      {...shared}
      data={spec.nullable ? [{ value: "", label: none }, ...data] : data}
      value={value}
      onChange={(event) => set(event.currentTarget.value)}
    />
  );
}
