package rmqkit.driver;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON by hand: the only library that the driver may count on is RocketMQ's client itself, whatever edition that is.
 * Objects are Map, arrays List, numbers Long or Double.
 */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** The one value that {@code text} is. Throws IllegalArgumentException that names the place of a mistake. */
    static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value();
        json.blank();
        if (json.at < text.length()) {
            throw json.wrong("more after the end");
        }
        return value;
    }

    static String write(Object value) {
        StringBuilder out = new StringBuilder(256);
        write(out, value);
        return out.toString();
    }

    private static void write(StringBuilder out, Object value) {
        if (value instanceof String) {
            quote(out, (String) value);
        } else if (value instanceof Map) {
            char before = '{';
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                if (entry.getValue() == null) {
                    continue; // what is not known is not said
                }
                out.append(before);
                before = ',';
                quote(out, String.valueOf(entry.getKey()));
                out.append(':');
                write(out, entry.getValue());
            }
            out.append(before == '{' ? "{}" : "}");
        } else if (value instanceof Iterable) {
            char before = '[';
            for (Object each : (Iterable<?>) value) {
                out.append(before);
                before = ',';
                write(out, each);
            }
            out.append(before == '[' ? "[]" : "]");
        } else {
            out.append(value); // number, boolean, null
        }
    }

    private static void quote(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ' || c > '~') { // plain ASCII: no encoding can come between
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    private IllegalArgumentException wrong(String what) {
        return new IllegalArgumentException("not JSON at character " + at + ": " + what);
    }

    private void blank() {
        while (at < text.length() && text.charAt(at) <= ' ') {
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw wrong("the end");
        }
        return text.charAt(at);
    }

    private boolean take(char c) {
        blank();
        if (peek() != c) {
            return false;
        }
        at++;
        return true;
    }

    private void want(char c) {
        if (!take(c)) {
            throw wrong("no '" + c + "' but '" + peek() + "'");
        }
    }

    private Object value() {
        blank();
        char c = peek();
        if (c == '{') {
            return object();
        }
        if (c == '[') {
            return array();
        }
        if (c == '"') {
            return string();
        }
        int from = at;
        while (at < text.length() && "+-.".indexOf(text.charAt(at)) >= 0 || at < text.length()
            && Character.isLetterOrDigit(text.charAt(at))) {
            at++;
        }
        String word = text.substring(from, at);
        switch (word) {
            case "true":
                return Boolean.TRUE;
            case "false":
                return Boolean.FALSE;
            case "null":
                return null;
            default:
                try {
                    return word.matches("-?\\d+") ? (Object) Long.valueOf(word) : (Object) Double.valueOf(word);
                } catch (NumberFormatException e) {
                    throw wrong("neither a value nor a number: '" + word + "'");
                }
        }
    }

    private Map<String, Object> object() {
        Map<String, Object> map = new LinkedHashMap<>();
        want('{');
        if (take('}')) {
            return map;
        }
        do {
            blank();
            String key = string();
            want(':');
            map.put(key, value());
        } while (take(','));
        want('}');
        return map;
    }

    private List<Object> array() {
        List<Object> list = new ArrayList<>();
        want('[');
        if (take(']')) {
            return list;
        }
        do {
            list.add(value());
        } while (take(','));
        want(']');
        return list;
    }

    private String string() {
        want('"');
        StringBuilder out = new StringBuilder();
        while (true) {
            char c = peek();
            at++;
            if (c == '"') {
                return out.toString();
            }
            if (c != '\\') {
                out.append(c);
                continue;
            }
            c = peek();
            at++;
            if (c == 'u') {
                if (at + 4 > text.length()) {
                    throw wrong("the end");
                }
                out.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                at += 4;
            } else {
                int known = "\"\\/bfnrt".indexOf(c);
                if (known < 0) {
                    throw wrong("unknown escape '\\" + c + "'");
                }
                out.append("\"\\/\b\f\n\r\t".charAt(known));
            }
        }
    }
}
