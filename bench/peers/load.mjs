/** Imports one of the libraries of this folder: a name is looked for beside the file that imports it. */
export const load = (name) => import(name);
