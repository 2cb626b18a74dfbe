/** The version of this package; goes into every manifest. */
export const SDK_VERSION = '0.1.0';
