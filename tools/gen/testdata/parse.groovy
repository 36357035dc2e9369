// Says of each file whether it can be parsed; names are not looked up, as Jenkins
// brings them.
import org.codehaus.groovy.control.CompilationFailedException
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.Phases

for (name in args) {
    def unit = new CompilationUnit()
    unit.addSource(new File(name))
    try {
        unit.compile(Phases.CONVERSION)
        println "parsed $name"
    } catch (CompilationFailedException e) {
        println "refused $name"
        System.err.println e.message
    }
}
