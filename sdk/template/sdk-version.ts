/** The version of this package; goes into every manifest. */
export const SDK_VERSION = '0.2.0';
