import { Script } from 'playcanvas';

/** Stands in for the engine's script of this name, which loads controller models from a server. */
export class XrControllers extends Script {
    static override scriptName = 'xrControllers';
}
