/** Everything that an endpoint answers, by object type and method. What is not here is answered with NotImplemented. */
import type { Methods } from '../endpoint.ts';
import { HOST_METHODS } from './host.ts';
import { PERFORMANCE_METHODS } from './performance.ts';
import { PROPERTY_METHODS } from './properties.ts';
import { SEARCH_METHODS } from './search.ts';
import { SERVICE_METHODS } from './service.ts';
import { VM_METHODS } from './vm.ts';

export const METHODS: Methods = {
  ...SERVICE_METHODS,
  ...PROPERTY_METHODS,
  ...SEARCH_METHODS,
  ...HOST_METHODS,
  ...PERFORMANCE_METHODS,
  ...VM_METHODS,
};
