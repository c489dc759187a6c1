/** Days of the week, and times of day, as schedules and timetables have them. */

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

/** A time of day, as the pattern of a field. */
export const CLOCK: readonly [string, string] = ['([01]\\d|2[0-3]):[0-5]\\d', 'a time of day such as 22:30'];

interface DaysFieldProps {
  readonly value: readonly Day[];
  readonly onChange: (days: readonly Day[]) => void;
}

export function DaysField({ value, onChange }: DaysFieldProps) {
  const toggle = (day: Day, isOn: boolean) =>
    onChange(DAYS.filter((one) => (one === day ? isOn : value.includes(one))));
  return (
    <div class="row">
      {DAYS.map((day) => (
        <label key={day} class="check">
          <input
            type="checkbox"
            checked={value.includes(day)}
            onChange={({ currentTarget }) => toggle(day, currentTarget.checked)}
          />
          {day}
        </label>
      ))}
    </div>
  );
}
