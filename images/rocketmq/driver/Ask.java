package rmqkit.driver;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One command line, with its fields taken out by name. A field that is missing or of the wrong kind is named. */
final class Ask {
    private final Map<?, ?> fields;

    Ask(Object value) {
        if (!(value instanceof Map)) {
            throw new IllegalArgumentException("a command is a JSON object");
        }
        this.fields = (Map<?, ?>) value;
    }

    /** Fields in the order given: name, value, name, value. Those that are null are left out of the line. */
    static Map<String, Object> fields(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], pairs[i + 1]);
        }
        return map;
    }

    boolean has(String name) {
        return fields.get(name) != null;
    }

    String text(String name) {
        return get(name, String.class, null);
    }

    String text(String name, String otherwise) {
        return has(name) ? text(name) : otherwise;
    }

    long number(String name) {
        return get(name, Number.class, null).longValue();
    }

    long number(String name, long otherwise) {
        return has(name) ? number(name) : otherwise;
    }

    double decimal(String name, double otherwise) {
        return get(name, Number.class, otherwise).doubleValue();
    }

    boolean flag(String name) {
        return get(name, Boolean.class, false);
    }

    List<String> texts(String name) {
        List<String> out = new ArrayList<>();
        for (Object each : get(name, List.class, Collections.emptyList())) {
            out.add(String.valueOf(each));
        }
        return out;
    }

    List<Ask> asks(String name) {
        List<Ask> out = new ArrayList<>();
        for (Object each : get(name, List.class, null)) {
            out.add(new Ask(each));
        }
        return out;
    }

    Map<String, String> pairs(String name) {
        Map<String, String> out = new LinkedHashMap<>();
        for (Object entry : get(name, Map.class, Collections.emptyMap()).entrySet()) {
            Map.Entry<?, ?> pair = (Map.Entry<?, ?>) entry;
            out.put(String.valueOf(pair.getKey()), String.valueOf(pair.getValue()));
        }
        return out;
    }

    private <T> T get(String name, Class<T> kind, T otherwise) {
        Object value = fields.get(name);
        if (value == null) {
            if (otherwise == null) {
                throw new IllegalArgumentException("the command has no field " + name);
            }
            return otherwise;
        }
        if (!kind.isInstance(value)) {
            throw new IllegalArgumentException("the field " + name + " is no " + kind.getSimpleName() + ": " + value);
        }
        return kind.cast(value);
    }
}
