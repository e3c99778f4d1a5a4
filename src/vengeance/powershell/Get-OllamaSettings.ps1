# Reads the settings of Ollama's tray app: those that its window keeps in a database, its link in the Startup folder, and
# whether an update lies ready. Changes nothing.
#
# in:   {}
# out:  {"database": "C:\\Users\\Steam\\AppData\\Local\\Ollama\\db.sqlite", "settings": {"expose": false, "browser": false,
#          "models": "", "context_length": 0, "auto_update_enabled": true}, "unreadable": null,
#        "startup_link": "C:\\...\\Startup\\Ollama.lnk", "starts_at_logon": true, "update_staged": false, "app_runs": false}
#
# settings: null when there is no database (the app has never run) or it cannot be read; unreadable says why. These settings
# beat the environment variables of the same meaning: ollama/ollama, app/server/server.go (cmd). A database from before
# 0.17.1 has no auto_update_enabled: it is null then.
# Windows PowerShell has no SQLite of its own, and Windows has winsqlite3.dll, whose functions are __stdcall:
# https://learn.microsoft.com/windows/win32/api/winsqlite/
# https://www.sqlite.org/c3ref/open.html (SQLITE_OPEN_READONLY is 1; names of files are UTF-8)
# https://www.sqlite.org/wal.html#read_only_databases
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$source = @'
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Vengeance
{
    public static class OllamaSettingsReader
    {
        const string Library = "winsqlite3.dll";
        const int Row = 100;

        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_open_v2(byte[] name, out IntPtr database, int flags, IntPtr system);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_busy_timeout(IntPtr database, int milliseconds);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_prepare_v2(IntPtr database, byte[] sql, int bytes, out IntPtr statement, IntPtr tail);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_step(IntPtr statement);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_column_count(IntPtr statement);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern IntPtr sqlite3_column_name16(IntPtr statement, int column);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern IntPtr sqlite3_column_text16(IntPtr statement, int column);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_finalize(IntPtr statement);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern IntPtr sqlite3_errmsg16(IntPtr database);
        [DllImport(Library, CallingConvention = CallingConvention.StdCall)]
        static extern int sqlite3_close(IntPtr database);

        public static Dictionary<string, string> Read(string path)
        {
            IntPtr database;
            IntPtr statement = IntPtr.Zero;
            int code = sqlite3_open_v2(Encoding.UTF8.GetBytes(path + "\0"), out database, 1, IntPtr.Zero);
            try
            {
                if (code != 0) throw new InvalidOperationException(Marshal.PtrToStringUni(sqlite3_errmsg16(database)));
                sqlite3_busy_timeout(database, 5000);
                byte[] sql = Encoding.UTF8.GetBytes("SELECT * FROM settings LIMIT 1\0");
                code = sqlite3_prepare_v2(database, sql, -1, out statement, IntPtr.Zero);
                if (code != 0) throw new InvalidOperationException(Marshal.PtrToStringUni(sqlite3_errmsg16(database)));
                if (sqlite3_step(statement) != Row) throw new InvalidOperationException("the table settings has no row");
                var row = new Dictionary<string, string>();
                for (int column = 0; column < sqlite3_column_count(statement); column++)
                {
                    string name = Marshal.PtrToStringUni(sqlite3_column_name16(statement, column));
                    IntPtr text = sqlite3_column_text16(statement, column);
                    row[name] = text == IntPtr.Zero ? "" : Marshal.PtrToStringUni(text);
                }
                return row;
            }
            finally
            {
                if (statement != IntPtr.Zero) sqlite3_finalize(statement);
                if (database != IntPtr.Zero) sqlite3_close(database);
            }
        }
    }
}
'@

function Test-Flag($row, [string] $column) {
    if (-not $row.ContainsKey($column)) { return $null }
    return $row[$column] -ne '0' -and $row[$column] -ne ''
}

$local = [Environment]::GetFolderPath('LocalApplicationData')
$database = [System.IO.Path]::Combine($local, 'Ollama\db.sqlite')
$link = [System.IO.Path]::Combine([Environment]::GetFolderPath('Startup', 'DoNotVerify'), 'Ollama.lnk')
$updates = [System.IO.Path]::Combine($local, 'Ollama\updates_v2')
$staged = $false
if ([System.IO.Directory]::Exists($updates)) {
    $staged = @([System.IO.Directory]::GetFiles($updates, '*.exe', 'AllDirectories')).Count -gt 0
}

$settings = $null
$unreadable = $null
if ([System.IO.File]::Exists($database)) {
    try {
        if (-not ('Vengeance.OllamaSettingsReader' -as [type])) { Add-Type -TypeDefinition $source }
        $row = [Vengeance.OllamaSettingsReader]::Read($database)
        $length = 0
        if ($row.ContainsKey('context_length') -and $row['context_length'] -ne '') { $length = [long] $row['context_length'] }
        $models = ''
        if ($row.ContainsKey('models')) { $models = [string] $row['models'] }
        $settings = [ordered] @{
            expose = [bool] (Test-Flag $row 'expose')
            browser = [bool] (Test-Flag $row 'browser')
            models = $models
            context_length = $length
            auto_update_enabled = Test-Flag $row 'auto_update_enabled'
        }
    }
    catch { $unreadable = $_.Exception.Message }
}

$answer = [ordered] @{
    database = $database
    settings = $settings
    unreadable = $unreadable
    startup_link = $link
    starts_at_logon = [System.IO.File]::Exists($link)
    update_staged = $staged
    app_runs = @(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'ollama app.exe'").Count -gt 0
}
ConvertTo-Json -InputObject $answer -Compress -Depth 3
