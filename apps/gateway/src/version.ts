/** Version of this package, as `--version`, the identity and the bundle's name say it. Kept equal to package.json by a test. */
export const version = '0.1.0';
