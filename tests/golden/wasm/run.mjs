// The golden run on a Python that is compiled to WebAssembly. Arguments: this project's folder.
import { loadPyodide } from "pyodide";

const python = await loadPyodide();
python.FS.mkdir("/project");
python.mountNodeFS("/project", process.argv[2]);
python.runPython(`
import runpy, sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/project/tests/golden/wasm", "/project"]
runpy.run_path("/project/tests/golden/run.py", run_name="__main__")
`);
