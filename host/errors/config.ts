import { defineErrors } from '#sdk/template';

/** What can be wrong with the configuration. */
export const configErrors = defineErrors({
  BEDS_CONFIG_INVALID: {
    message: 'The configuration is not valid.',
    status: 'invalid',
    action: 'Correct every line of the list. config/beds.toml explains each key with its unit and bounds.',
  },
});
