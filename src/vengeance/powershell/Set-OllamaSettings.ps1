# Writes settings of Ollama's tray app into its database. The app must not run: it would write over them.
#
# in:   {"settings": {"auto_update_enabled": false}}
#       names: expose, browser, auto_update_enabled (true, false), context_length (a number), models (a folder or "")
# out:  {"changed": true, "before": {"auto_update_enabled": "1"}, "after": {"auto_update_enabled": "0"},
#        "reboot_required": false}
#
# The table settings has one row. Only the names above are put into the SQL; values are bound. The library is Windows' own:
# see Get-OllamaSettings. ollama/ollama, app/store/database.go (settings)
# https://www.sqlite.org/c3ref/open.html (SQLITE_OPEN_READWRITE is 2: no database is made)
# https://www.sqlite.org/c3ref/bind_blob.html (SQLITE_TRANSIENT is -1)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$source = @'
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Vengeance
{
    public static class OllamaSettingsWriter
    {
        const string Library = "winsqlite3.dll";
        const int Row = 100;
        const int Done = 101;

        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_open_v2(byte[] name, out IntPtr database, int flags, IntPtr system);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_busy_timeout(IntPtr database, int milliseconds);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_prepare_v2(IntPtr database, byte[] sql, int bytes, out IntPtr statement, IntPtr tail);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall, CharSet = CharSet.Unicode)]
        static extern int sqlite3_bind_text16(IntPtr statement, int index, string text, int bytes, IntPtr destructor);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_bind_int64(IntPtr statement, int index, long number);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_step(IntPtr statement);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern IntPtr sqlite3_column_text16(IntPtr statement, int column);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_finalize(IntPtr statement);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern IntPtr sqlite3_errmsg16(IntPtr database);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_close(IntPtr database);

        static IntPtr Open(string path)
        {
            IntPtr database;
            if (sqlite3_open_v2(Encoding.UTF8.GetBytes(path + "\0"), out database, 2, IntPtr.Zero) != 0)
            {
                string message = Marshal.PtrToStringUni(sqlite3_errmsg16(database));
                sqlite3_close(database);
                throw new InvalidOperationException(message);
            }
            sqlite3_busy_timeout(database, 5000);
            return database;
        }

        static IntPtr Prepare(IntPtr database, string sql)
        {
            IntPtr statement;
            if (sqlite3_prepare_v2(database, Encoding.UTF8.GetBytes(sql + "\0"), -1, out statement, IntPtr.Zero) != 0)
                throw new InvalidOperationException(Marshal.PtrToStringUni(sqlite3_errmsg16(database)));
            return statement;
        }

        public static string Get(string path, string column)
        {
            IntPtr database = Open(path);
            IntPtr statement = IntPtr.Zero;
            try
            {
                statement = Prepare(database, "SELECT " + column + " FROM settings LIMIT 1");
                if (sqlite3_step(statement) != Row) throw new InvalidOperationException("the table settings has no row");
                IntPtr text = sqlite3_column_text16(statement, 0);
                return text == IntPtr.Zero ? "" : Marshal.PtrToStringUni(text);
            }
            finally
            {
                if (statement != IntPtr.Zero) sqlite3_finalize(statement);
                sqlite3_close(database);
            }
        }

        public static void Set(string path, string column, string text, long number, bool isText)
        {
            IntPtr database = Open(path);
            IntPtr statement = IntPtr.Zero;
            try
            {
                statement = Prepare(database, "UPDATE settings SET " + column + " = ?1");
                if (isText) sqlite3_bind_text16(statement, 1, text, -1, new IntPtr(-1));
                else sqlite3_bind_int64(statement, 1, number);
                if (sqlite3_step(statement) != Done)
                    throw new InvalidOperationException(Marshal.PtrToStringUni(sqlite3_errmsg16(database)));
            }
            finally
            {
                if (statement != IntPtr.Zero) sqlite3_finalize(statement);
                sqlite3_close(database);
            }
        }
    }
}
'@

$wanted = ConvertFrom-Json -InputObject $InputJson
$local = [Environment]::GetFolderPath('LocalApplicationData')
$database = [System.IO.Path]::Combine($local, 'Ollama\db.sqlite')
if (-not [System.IO.File]::Exists($database)) { throw "Ollama's app has not made its database $database yet: it has never run." }
if (@(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'ollama app.exe'").Count -gt 0) {
    throw "Ollama's app runs, and would write over its settings: stop it first."
}
if (-not ('Vengeance.OllamaSettingsWriter' -as [type])) { Add-Type -TypeDefinition $source }

$known = @('expose', 'browser', 'auto_update_enabled', 'context_length', 'models')
$changed = $false
$before = [ordered] @{}
$after = [ordered] @{}
foreach ($setting in $wanted.settings.PSObject.Properties) {
    $name = $setting.Name
    if ($known -cnotcontains $name) { throw "Ollama's app has no setting '$name' that is written here." }
    $isText = $setting.Value -is [string]
    $text = ''
    $number = [long] 0
    if ($isText) { $text = [string] $setting.Value }
    else { $number = [long] $setting.Value }
    $shown = $text
    if (-not $isText) { $shown = $number.ToString() }
    $before[$name] = [Vengeance.OllamaSettingsWriter]::Get($database, $name)
    if (-not [string]::Equals($before[$name], $shown, [StringComparison]::Ordinal)) {
        [Vengeance.OllamaSettingsWriter]::Set($database, $name, $text, $number, $isText)
        $changed = $true
    }
    $after[$name] = [Vengeance.OllamaSettingsWriter]::Get($database, $name)
}

$answer = [ordered] @{ changed = $changed; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
